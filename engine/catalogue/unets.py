"""Four 3D U-Nets: one network with two switches."""

from __future__ import annotations

from engine.catalogue.sizes import Smaller, with_sizes
from engine.catalogue.starter import STARTER
from engine.system import Inference, Part, Preparation, System, Training

_SOURCE = (
    "Comparison of U-Net variants on the pancreas of the Medical Segmentation Decathlon; networks:"
    " Çiçek et al., 3D U-Net, 2016"
)
_RESIDUAL = "; He et al., 2016"
_GATED = "; Oktay et al., Attention U-Net, 2018"

# The source states Dice + cross-entropy, Adam, a cosine schedule and mixed precision.
_TRAINING = Training(
    patch_shape=(96, 96, 96),  # ours
    batch_size=2,  # ours
    epochs=300,  # ours
    steps_per_epoch=250,  # ours
    optimiser=Part("adam", {"lr": 3e-4}),  # ours: the rate
    losses=(Part("dice_ce"),),
    schedule=Part("cosine"),
    average_decay=None,
)


def _unet(name: str, title: str, source: str, *, residual: bool, gated: bool) -> System:
    full = System(
        name=name,
        title=title,
        source=source,
        # ours: the widths
        network=Part(
            "unet", {"features": (32, 64, 128, 256, 512), "residual": residual, "gated": gated}
        ),
        heads=(Part("segmentation"),),
        # ours: 1 mm, and the starter's window
        preparation=Preparation(
            (1.0, 1.0, 1.0),
            STARTER.preparation.hu_window,
            STARTER.preparation.hu_mean,
            STARTER.preparation.hu_sd,
        ),
        training=_TRAINING,
        inference=Inference(patch_shape=(96, 96, 96)),  # ours
    )
    return with_sizes(
        full,
        toy=Smaller({"features": (4, 8, 16, 16)}, optimiser=Part("adam", {"lr": 1e-3})),
        # ours: sized for a step in well under a second on a CPU
        small=Smaller({"features": (16, 32, 64, 128)}, optimiser=Part("adam", {"lr": 1e-3})),
    )


UNET = _unet("unet", "3D U-Net", _SOURCE, residual=False, gated=False)
RESUNET = _unet("resunet", "Residual U-Net", _SOURCE + _RESIDUAL, residual=True, gated=False)
ATTENTION_UNET = _unet(
    "attention_unet", "Attention U-Net", _SOURCE + _GATED, residual=False, gated=True
)
ATTENTION_RESUNET = _unet(
    "attention_resunet",
    "Attention-gated residual U-Net",
    _SOURCE + _RESIDUAL + _GATED,
    residual=True,
    gated=True,
)

UNETS = (UNET, RESUNET, ATTENTION_UNET, ATTENTION_RESUNET)
