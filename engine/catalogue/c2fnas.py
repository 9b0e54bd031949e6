"""The searched network, alone and with a reconstruction branch."""

from __future__ import annotations

from dataclasses import replace

from engine.catalogue.sizes import Smaller, with_sizes
from engine.system import Inference, Part, Preparation, System, Training

_NETWORK = "Yu et al., C2FNAS, 2020, in a public re-implementation"

# Four halvings, and once more in the branch: thinner patches would leave it a single voxel.
_TOY_PATCH = (32, 48, 48)

_C2FNAS = System(
    name="c2fnas",
    title="C2FNAS (public re-implementation)",
    source=(
        "Shen et al., Multi-task federated learning for heterogeneous pancreas segmentation,"
        f" 2021, trained at one site; network: {_NETWORK}"
    ),
    network=Part("c2fnas", {"width": 32}),
    heads=(Part("segmentation"),),
    preparation=Preparation((1.0, 1.0, 1.0), (-200.0, 250.0), hu_mean=25.0, hu_sd=225.0),
    training=Training(
        patch_shape=(96, 96, 96),
        batch_size=4,  # ours: the source gives none
        epochs=600,  # 60 rounds of 10
        steps_per_epoch=50,  # ours
        optimiser=Part("adam", {"lr": 5e-4}),
        losses=(Part("dice_ce"),),
        foreground_share=0.5,  # stated by the two-site study alone
        schedule=Part("cosine"),
        average_decay=None,
    ),
    inference=Inference(patch_shape=(96, 96, 96)),
)

_C2FNAS_VAE = replace(
    _C2FNAS,
    name="c2fnas_vae",
    title="C2FNAS with a reconstruction branch",
    source=(
        "Wang et al., Automated pancreas segmentation using multi-institutional collaborative"
        f" deep learning, 2020, trained at one site; network: {_NETWORK}; branch:"
        " Myronenko, 2018"
    ),
    heads=(Part("segmentation"), Part("vae", {"latent": 128})),
    training=replace(
        _C2FNAS.training,
        batch_size=8,
        optimiser=Part("adam", {"lr": 1e-4}),
        losses=(Part("dice_ce"), Part("vae", {"kl": 0.2, "l2": 0.3})),
        schedule=Part("cosine", {"floor": 0.1}),
    ),
)

# ours: both sizes
# With a width of eight it learns to outline phantoms in some hundred steps; with two it did not.
_TOY = Smaller({"width": 8}, patch_shape=_TOY_PATCH, optimiser=Part("adam", {"lr": 1e-3}))
_SMALL = Smaller({"width": 12}, optimiser=Part("adam", {"lr": 1e-3}))

C2FNAS = with_sizes(_C2FNAS, toy=_TOY, small=_SMALL)
C2FNAS_VAE = with_sizes(
    _C2FNAS_VAE,
    toy=replace(_TOY, heads={"vae": {"latent": 16}}),
    small=_SMALL,
)
