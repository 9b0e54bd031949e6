"""MTMed3D: a Swin transformer under a detector, a segmentation and a classifier, and its parts."""

from __future__ import annotations

from dataclasses import replace

from engine.catalogue.sizes import Smaller, with_sizes
from engine.catalogue.starter import LOCALISER, STARTER
from engine.system import Part, System, Training

_SOURCE = "MTMed3D, measured there on four-channel MR of the brain"
_NETWORKS = (
    "encoder and decoder: Hatamizadeh et al., Swin UNETR, 2022; detector: Lin et al., 2017;"
    " classifier: Huang et al., DenseNet, 2017"
)
_COARSE_MM = (6.0, 5.0, 5.0)
_MILLIMETRE = (1.0, 1.0, 1.0)

Triple = tuple[float, float, float]


def _anchors(spacing_mm: Triple, smallest_mm: float) -> tuple[Triple, ...]:
    """Return a cube of `smallest_mm`, a flat and a tall box, in voxels."""
    shapes = ((1.0, 1.0, 1.0), (1.0, 1.5, 1.5), (1.5, 1.2, 1.2))
    along_slice, along_row, along_column = (smallest_mm / spacing for spacing in spacing_mm)
    return tuple(
        (round(s * along_slice, 2), round(r * along_row, 2), round(c * along_column, 2))
        for s, r, c in shapes
    )


_DETECTION = Part(
    "detection",
    {
        # ours: the source has neither the finest stage nor lesions as small as the pancreas has
        "levels": (-5, -4, -3, -2, -1),
        # ours: from 6 mm to 14 cm; the source's smallest is larger than most patches
        "anchors": _anchors(_MILLIMETRE, 6.0),
        "scales": (1.0, 2.0, 4.0, 8.0, 16.0),
        "channels": 96,
        "num_convs": 4,
        "neck": "panet",
    },
)
_FPN = Part("detection", {**_DETECTION.params, "neck": "fpn"})
# ours: what it sees; the source shows it logits alone
_CLASSIFIER = Part("densenet", {"sees": "probabilities_and_image", "norm": "group"})

_SEGMENTATION_LOSS = Part("dice_ce")  # ours: the source's classes are no alternatives
_DETECTION_LOSS = Part("retinanet", {"gamma": 2.0, "beta": 1 / 9, "num_positions": 4})
_SUBTYPE_LOSS = Part("focal_ce", {"gamma": 2.8})
_GRADNORM = Part("gradnorm", {"alpha": 0.12})

_MTMED3D = System(
    name="mtmed3d",
    title="MTMed3D: segmentation, detection and subtype",
    source=f"{_SOURCE}; {_NETWORKS}; neck: Liu et al., PANet, 2018; Chen et al., GradNorm, 2018",
    network=Part("swin_unetr", {"feature_size": 48, "heads": (3, 6, 12, 24), "window": 7}),
    heads=(Part("segmentation"), _DETECTION, _CLASSIFIER),
    # ours: the starter's window, as the source has no CT
    preparation=replace(STARTER.preparation, spacing_mm=_MILLIMETRE),
    training=Training(
        patch_shape=(96, 96, 96),
        batch_size=1,
        epochs=150,  # the default of its code; its text says 100 and 200 elsewhere
        steps_per_epoch=250,  # ours
        optimiser=Part("adamw", {"lr": 1e-4, "head_lr": 1e-5}),
        losses=(_SEGMENTATION_LOSS, _DETECTION_LOSS, _SUBTYPE_LOSS),
        balance=_GRADNORM,
        foreground_share=STARTER.training.foreground_share,  # ours
        schedule=Part("cosine"),
        average_decay=None,
    ),
    # ours: the source looks at one crop
    inference=replace(STARTER.inference, patch_shape=(96, 96, 96)),
    localiser=LOCALISER,
    subtypes=STARTER.subtypes,
)

# ours: both sizes. Five halvings need a multiple of 32 along every edge, and one of 64.
_TOY_PATCH = (32, 32, 64)
_SMALL_PATCH = (64, 64, 64)
_HEADS = (1, 2, 4, 8)
_TOY = Smaller(
    {"feature_size": 4, "heads": _HEADS, "window": 4},
    heads={
        "detection": {"anchors": _anchors(_COARSE_MM, 12.0), "channels": 8, "num_convs": 1},
        "densenet": {"blocks": (1, 1, 1), "growth": 8, "init_features": 8},
    },
    patch_shape=_TOY_PATCH,
    optimiser=Part("adamw", {"lr": 5e-4, "head_lr": 5e-4}),
)
_SMALL = Smaller(
    {"feature_size": 12, "heads": _HEADS, "window": 4},
    heads={
        "detection": {
            "anchors": _anchors(STARTER.preparation.spacing_mm, 6.0),
            "channels": 16,
            "num_convs": 2,
        },
        "densenet": {"blocks": (2, 4, 4), "growth": 16, "init_features": 16},
    },
    patch_shape=_SMALL_PATCH,
    window_shape=(64, 96, 96),
    optimiser=Part("adamw", {"lr": 5e-4, "head_lr": 5e-4}),
)


def _variant(name: str, title: str, neck: Part, balance: Part) -> System:
    system = replace(
        _MTMED3D,
        name=name,
        title=f"MTMed3D with {title}",
        source=f"{_SOURCE}, ablation; {_NETWORKS}",
        heads=(Part("segmentation"), neck, _CLASSIFIER),
        training=replace(_MTMED3D.training, balance=balance),
    )
    return with_sizes(system, toy=_TOY, small=_SMALL)


def _single(name: str, title: str, network: str, head: Part, loss: Part, lr: float) -> System:
    """Return the system with one head kept; rates as the source's text has them."""
    system = replace(
        _MTMED3D,
        name=name,
        title=title,
        source=f"{_SOURCE}, single task; {_NETWORKS}",
        network=Part(network, _MTMED3D.network.params),
        heads=(head,),
        training=replace(
            _MTMED3D.training,
            optimiser=Part("adamw", {"lr": lr}),
            losses=(loss,),
            balance=Part("fixed"),
        ),
    )
    return with_sizes(system, toy=_TOY, small=_SMALL)


def _boxes_alone(system: System) -> System:
    """Return a detector without outlines, at every size."""
    # ours: its own boxes are all there is, and their curve must not stop at 0.5
    inference = replace(system.inference, box_threshold=0.1)
    sizes = {name: _boxes_alone(size) for name, size in system.sizes.items()}
    return replace(system, inference=inference, sizes=sizes)


MTMED3D = with_sizes(_MTMED3D, toy=_TOY, small=_SMALL)

_RETINANET3D = with_sizes(
    replace(
        _MTMED3D,
        name="retinanet3d",
        title="RetinaNet on a residual network: detection",
        source=f"{_SOURCE}, baseline; Lin et al., 2017, on He et al., 2016",
        network=Part("resnet_encoder", {"features": (64, 128, 256, 512)}),  # ours: ResNet-50
        heads=(_FPN,),
        training=replace(
            _MTMED3D.training,
            optimiser=Part("adamw", {"lr": 1e-4}),  # ours
            losses=(_DETECTION_LOSS,),
            balance=Part("fixed"),
        ),
    ),
    toy=replace(_TOY, network={"features": (8, 8, 8, 8), "num_blocks": (1, 1, 1, 1)}),
    small=replace(_SMALL, network={"features": (16, 32, 64, 64), "num_blocks": (1, 1, 1, 1)}),
)

RETINANET3D = _boxes_alone(_RETINANET3D)

MTMED3D_FAMILY = (
    MTMED3D,
    _variant("mtmed3d_fpn_gradnorm", "FPN and GradNorm", _FPN, _GRADNORM),
    _variant("mtmed3d_fpn_mgda", "FPN and MGDA", _FPN, Part("mgda")),
    _variant("mtmed3d_panet_mgda", "PANet and MGDA", _DETECTION, Part("mgda")),
    _single(
        "swin_segmentation",
        "Swin UNETR: segmentation",
        "swin_unetr",
        Part("segmentation"),
        _SEGMENTATION_LOSS,
        1e-4,
    ),
    _single(
        "swin_classification",
        "Swin UNETR and DenseNet: subtype",
        "swin_unetr",
        _CLASSIFIER,
        _SUBTYPE_LOSS,
        1e-5,
    ),
    _boxes_alone(
        _single(
            "swin_detection",
            "Swin transformer: detection",
            "swin_encoder",
            _DETECTION,
            _DETECTION_LOSS,
            1e-5,
        )
    ),
    RETINANET3D,
)
