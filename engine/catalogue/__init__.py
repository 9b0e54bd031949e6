"""Every system of Islet, as values."""

from engine.catalogue.c2fnas import C2FNAS, C2FNAS_VAE
from engine.catalogue.mtmed3d import MTMED3D_FAMILY
from engine.catalogue.multitask import ISLET, MULTITASK
from engine.catalogue.sizes import Smaller, with_sizes
from engine.catalogue.starter import STARTER
from engine.catalogue.unets import UNETS
from engine.registry import Registry
from engine.system import System

_STARTER = with_sizes(
    STARTER,
    toy=Smaller(
        {"features": (8, 8, 16, 16), "num_blocks": (1, 1, 1, 1), "strides": (1, 2, 2, 2)},
        heads={"subtype": {"hidden": 8}},
    ),
    # It is as small as that already.
    small=Smaller({}),
)

SYSTEMS: Registry[System] = Registry("system")
for _system in (_STARTER, ISLET, *MULTITASK, *UNETS, C2FNAS, C2FNAS_VAE, *MTMED3D_FAMILY):
    SYSTEMS.add(_system.name, _system)

__all__ = ["SYSTEMS"]
