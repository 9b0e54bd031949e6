"""Every system of Islet, as values."""

from engine.catalogue.starter import STARTER
from engine.registry import Registry
from engine.system import System

SYSTEMS: Registry[System] = Registry("system")
SYSTEMS.add(STARTER.name, STARTER)

__all__ = ["SYSTEMS"]
