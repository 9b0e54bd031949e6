"""One residual encoder under several heads: the multi-task nnU-Net, and Islet's own system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.catalogue.sizes import Smaller, with_sizes
from engine.catalogue.starter import LOCALISER, STARTER
from engine.system import Inference, Part, Preparation, System, Training

_PAPER = "Multi-task nnU-Net for the pancreas, its lesions and their subtype"
_NETWORK = "network: Isensee et al., nnU-Net Revisited, 2024"

Shape = tuple[float, float, float]

_MULTITASK = System(
    name="resenc_multitask",
    title="Multi-task nnU-Net: segmentation and subtype",
    source=f"{_PAPER}; {_NETWORK}",
    network=Part(
        "resenc_unet",
        {
            "features": (32, 64, 128, 256, 320, 320),
            "num_blocks": (1, 3, 4, 6, 6, 6),
            "strides": (1, (1, 2, 2), 2, 2, 2, 2),
            "kernel_sizes": ((1, 3, 3), 3, 3, 3, 3, 3),
        },
    ),
    # Stages 4, 5 and 6 of six
    heads=(Part("segmentation"), Part("subtype_joint", {"taps": (-3, -2, -1), "norm": "batch"})),
    # ours: the starter's window; nnU-Net takes percentiles of the data set at hand
    preparation=Preparation(
        (2.0, 0.73, 0.73),
        STARTER.preparation.hu_window,
        STARTER.preparation.hu_mean,
        STARTER.preparation.hu_sd,
    ),
    training=Training(
        patch_shape=(64, 128, 192),
        batch_size=2,
        epochs=500,
        steps_per_epoch=250,
        optimiser=Part("sgd", {"lr": 1e-2, "momentum": 0.99, "weight_decay": 3e-5}),
        # ours: class weights of 62, 106 and 84 cases, or a focal loss; the source has both
        losses=(
            Part("dice_ce"),
            Part("weighted_ce", {"weights": (1.3548, 0.7925, 1.0), "smoothing": 0.05}),
        ),
        balance=Part("fixed", {"subtype_joint": 10.0}),
        foreground_share=0.33,  # nnU-Net
        schedule=Part("poly", {"power": 0.9}),
        average_decay=None,
    ),
    inference=Inference(patch_shape=(64, 128, 192), step=0.5, mirror_axes=(0, 1, 2)),
    subtypes=STARTER.subtypes,
)

_TOY_NETWORK: Mapping[str, Any] = {
    "features": (8, 8, 16, 16),
    "num_blocks": (1, 1, 1, 1),
    "strides": (1, (1, 2, 2), 2, 2),
    "kernel_sizes": ((1, 3, 3), 3, 3, 3),
}
_SMALL_NETWORK: Mapping[str, Any] = {
    **STARTER.network.params,
    "kernel_sizes": ((1, 3, 3), 3, 3, 3, 3),
}


# ours: with the full size's SGD, 1,900 steps of one patch found no lesion
_SMALLER_OPTIMISER = Part("adamw", {"lr": 1e-3, "weight_decay": 1e-2})


def _sized(system: System) -> System:
    # ours: one patch per step has no batch to normalise over, and phantoms have no rare subtype
    heads = {"subtype_joint": {"norm": "layer"}}
    losses = {"weighted_ce": {"weights": None}}
    return with_sizes(
        system,
        toy=Smaller(_TOY_NETWORK, heads=heads, losses=losses),
        small=Smaller(
            _SMALL_NETWORK,
            heads=heads,
            losses=losses,
            optimiser=_SMALLER_OPTIMISER,
            # ours: a head that weighs ten times as much kept the encoder from any lesion, too
            balance=Part("fixed"),
        ),
    )


RESENC_MULTITASK = _sized(_MULTITASK)

RESENC_MULTITASK_DEEPEST = _sized(
    replace(
        _MULTITASK,
        name="resenc_multitask_deepest",
        title="Multi-task nnU-Net: subtype from the deepest stage",
        source=f"{_PAPER}, Sect. 4.3; {_NETWORK}",
        heads=(Part("segmentation"), Part("subtype_joint", {"taps": (-1,), "norm": "batch"})),
    )
)

RESENC_STAGED = _sized(
    replace(
        _MULTITASK,
        name="resenc_staged",
        title="Multi-task nnU-Net: subtype head fitted afterwards",
        source=f"{_PAPER}, Sect. 4.6, which proposes it and reports no number; {_NETWORK}",
        # ours: the starter's head on the case's frozen features
        heads=(Part("segmentation"), STARTER.heads[1]),
        training=replace(_MULTITASK.training, losses=(Part("dice_ce"),), balance=Part("fixed")),
    )
)

SLICES_2D = with_sizes(
    replace(
        _MULTITASK,
        name="slices_2d",
        title="Slice by slice: segmentation and subtype",
        source=f"Guo, as compared in {_PAPER}, Sect. 4.4; {_NETWORK}",
        # ours: the plan of nnU-Net for slices of this size, as no network is stated
        network=Part(
            "resenc_unet",
            {
                "features": (32, 64, 128, 256, 512, 512),
                "num_blocks": (1, 3, 4, 6, 6, 6),
                "strides": (1, *((1, 2, 2),) * 5),
                "kernel_sizes": ((1, 3, 3),) * 6,
            },
        ),
        heads=(Part("segmentation"), Part("subtype_joint", {"taps": (-1,), "norm": "batch"})),
        training=replace(_MULTITASK.training, patch_shape=(1, 128, 192), batch_size=134),
        inference=replace(_MULTITASK.inference, patch_shape=(1, 128, 192)),
    ),
    toy=Smaller(
        {
            "features": (8, 8, 16, 16),
            "num_blocks": (1, 1, 1, 1),
            "strides": (1, *((1, 2, 2),) * 3),
            "kernel_sizes": ((1, 3, 3),) * 4,
        },
        losses={"weighted_ce": {"weights": None}},
        patch_shape=(1, 32, 32),
        batch_size=8,
    ),
    small=Smaller(
        {
            **STARTER.network.params,
            "strides": (1, *((1, 2, 2),) * 4),
            "kernel_sizes": ((1, 3, 3),) * 5,
        },
        losses={"weighted_ce": {"weights": None}},
        patch_shape=(1, 64, 80),
        window_shape=(1, 80, 112),
        batch_size=24,
        optimiser=_SMALLER_OPTIMISER,
    ),
)


def _cubes(spacing_mm: tuple[float, float, float], edge_mm: float) -> tuple[Shape, ...]:
    """Return anchors of `edge_mm`, a third and two thirds of an octave larger, in voxels.

    Three per octave as in Lin et al., 2017; the pyramid's levels double them.
    """
    along_slice, along_row, along_column = spacing_mm
    edges = [edge_mm * 2 ** (third / 3) for third in range(3)]
    return tuple(
        (round(e / along_slice, 1), round(e / along_row, 1), round(e / along_column, 1))
        for e in edges
    )


_ISLET = replace(
    _MULTITASK,
    name="islet",
    title="Islet: segmentation, detection and subtype",
    source=(
        "Islet; encoder and decoder of Isensee et al., nnU-Net Revisited, 2024; detector of"
        " Lin et al., 2017, on the neck of Liu et al., PANet, 2018; tasks balanced as Chen"
        " et al., GradNorm, 2018; structures nobody looked for as Shi et al., 2021"
    ),
    heads=(
        Part("segmentation"),
        Part(
            "detection",
            {
                "neck": "panet",
                "levels": (-4, -3, -2, -1),
                # ours: from 8 mm to 10 cm
                "anchors": _cubes(_MULTITASK.preparation.spacing_mm, 8.0),
                "scales": (1.0, 2.0, 4.0, 8.0),
                "channels": 96,
                "num_convs": 4,
            },
        ),
        # ours: texture of the shallow stages, context of the deep ones
        Part("subtype", {"num_stages": 6, "hidden": 32, "dropout": 0.5}),
    ),
    training=replace(
        _MULTITASK.training,
        epochs=300,  # ours
        optimiser=Part("adamw", {"lr": 5e-4, "weight_decay": 1e-2}),  # ours
        # Cross-entropy and Dice merge what a case's reader did not look for.
        losses=(Part("dice_ce"), Part("retinanet", {"gamma": 2.0})),
        balance=Part("gradnorm", {"alpha": 0.12}),
        foreground_share=STARTER.training.foreground_share,
        schedule=STARTER.training.schedule,
        average_decay=STARTER.training.average_decay,
    ),
    inference=replace(STARTER.inference, patch_shape=(64, 128, 192)),
    localiser=LOCALISER,
)

ISLET = with_sizes(
    _ISLET,
    toy=Smaller(
        _TOY_NETWORK,
        heads={
            "detection": {
                "levels": (-3, -2, -1),
                "anchors": _cubes((6.0, 5.0, 5.0), 12.0),
                "scales": (1.0, 2.0, 4.0),
                "channels": 8,
                "num_convs": 1,
            },
            "subtype": {"num_stages": 4, "hidden": 8},
        },
        optimiser=_SMALLER_OPTIMISER,
    ),
    small=Smaller(
        {**STARTER.network.params, "kernel_sizes": 3},
        heads={
            "detection": {
                "anchors": _cubes(STARTER.preparation.spacing_mm, 8.0),
                "channels": 32,
                "num_convs": 1,
            },
            "subtype": {"num_stages": 5},
        },
        optimiser=_SMALLER_OPTIMISER,
    ),
)

MULTITASK = (RESENC_MULTITASK, RESENC_MULTITASK_DEEPEST, RESENC_STAGED, SLICES_2D)
