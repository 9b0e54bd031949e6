"""The system that ships with Islet: small, fast on a CPU, trained on phantoms alone."""

from __future__ import annotations

from engine.system import Inference, Part, Preparation, System, Training

_SOURCE = "Islet; residual encoder U-Net of Isensee et al., nnU-Net Revisited, 2024, made small"

# ours: a soft-tissue window wide enough for contrast-filled vessels and fat, scaled to about ±2
_HU_WINDOW = (-160.0, 340.0)
_HU_MEAN = 50.0
_HU_SD = 100.0

LOCALISER = System(
    name="starter_localiser",
    title="Finds the pancreas in the whole volume",
    source=_SOURCE,
    network=Part(
        "resenc_unet",
        # ours: fewer than 16 channels cost as much time as 16
        {"features": (16, 32, 64, 64), "num_blocks": (1, 1, 1, 2), "strides": (1, 2, 2, 2)},
    ),
    heads=(Part("segmentation"),),
    # ours: 5 mm shows the organ's place, not its border, and an abdomen fits into one window
    preparation=Preparation((5.0, 5.0, 5.0), _HU_WINDOW, _HU_MEAN, _HU_SD),
    training=Training(
        patch_shape=(48, 64, 80),
        batch_size=1,
        epochs=20,  # ours
        steps_per_epoch=50,
        optimiser=Part("adamw", {"lr": 2e-3, "weight_decay": 1e-2}),
        losses=(Part("dice_ce"),),
        foreground_share=0.5,
    ),
    # ours: larger than in training, so that most abdomens are a single window
    inference=Inference(patch_shape=(56, 80, 80), step=0.75),
    structures=("pancreas",),
)

STARTER = System(
    name="starter",
    title="Starter: pancreas, lesions and subtype",
    source=_SOURCE,
    network=Part(
        "resenc_unet",
        # ours: sized so that a step takes well under a second on two CPU cores
        {
            "features": (16, 32, 64, 128, 128),
            "num_blocks": (1, 2, 2, 2, 2),
            "strides": (1, 2, 2, 2, 2),
        },
    ),
    # ours: three stages did best in cross-validation
    heads=(
        Part("segmentation"),
        Part("subtype", {"num_stages": 3, "hidden": 32, "dropout": 0.5}),
    ),
    # ours: a lesion of 10 mm spans five voxels
    preparation=Preparation((2.0, 1.5, 1.5), _HU_WINDOW, _HU_MEAN, _HU_SD),
    training=Training(
        # ours: 96 x 96 x 120 mm, the largest lesion with its surroundings
        patch_shape=(48, 64, 80),
        batch_size=1,
        epochs=80,  # ours: the loss had levelled off
        steps_per_epoch=50,
        optimiser=Part("adamw", {"lr": 1e-3, "weight_decay": 1e-2}),
        losses=(Part("dice_ce"),),
        foreground_share=0.8,
    ),
    inference=Inference(
        patch_shape=(48, 80, 112),
        step=0.5,
        region_margin_mm=(20.0, 20.0, 20.0),
        # ours: a sphere of 8 mm; on other phantoms that cost no lesion, but a fifth of the strays
        min_lesion_mm3=300.0,
        lesion_threshold=0.5,
    ),
    localiser=LOCALISER,
    structures=("pancreas", "lesion"),
    subtypes=("hypodense solid", "arterially enhancing", "cystic"),
)
