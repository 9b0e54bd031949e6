"""What others published, to stand beside what was measured here.

Only figures that were read in the named source; what was not reported is not in a row. They were
measured on other data than any of ours and are no ranking: they say which height is usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of somebody's table.

    Args:
        who: What a reader calls the method.
        data: What it was measured on.
        source: Where the row was read.
        figures: By the names of `engine.evaluation.figures`.
        systems: Names of the catalogue's systems that come from this paper; empty for peers.
    """

    who: str
    data: str
    source: str
    figures: Mapping[str, float]
    systems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))


_PANCREAS, _LESION = "Pancreas Dice", "Lesion Dice"
_MEAN = "Mean Dice of pancreas and lesion"
_AP = "Lesion AP at IoU 0.1 (COCO)"
_F1 = "Subtype macro-F1"
_AUROC = "Case AUROC"
_QUIZ = "pancreas subtype quiz, 36 validation cases"
_NNDETECTION = "nnDetection, docs/results"
_TASK07 = "MSD Task07"

PUBLISHED = (
    PublishedRow(
        "nnU-Net multi-task with its joint head, the paper's own",
        _QUIZ,
        "the paper; its macro-F1 is exactly that of always answering subtype 1",
        {_PANCREAS: 0.91, _LESION: 0.625, _F1: 0.196},
        ("resenc_multitask", "resenc_multitask_deepest", "resenc_staged", "slices_2d"),
    ),
    PublishedRow(
        "3D U-Net variants, the paper's best",
        _TASK07,
        "the paper; of which structures it is the mean is not said",
        {_MEAN: 0.67},
        ("unet", "resunet", "attention_unet", "attention_resunet"),
    ),
    PublishedRow(
        "C2FNAS trained on MSD alone, the paper's own",
        f"{_TASK07}, the paper's split",
        "Shen et al. 2021, Table 1",
        {_PANCREAS: 0.778, _LESION: 0.311},
        ("c2fnas",),
    ),
    PublishedRow(
        "C2FNAS, FedAvg of three sites, the paper's own",
        f"{_TASK07}, the paper's split",
        "Shen et al. 2021, Table 1",
        {_PANCREAS: 0.751, _LESION: 0.202},
        ("c2fnas",),
    ),
    PublishedRow("DiNTS bundle", f"{_TASK07}, own validation", "MONAI model zoo", {_MEAN: 0.62}),
    PublishedRow("nnDetection, five folds", _TASK07, _NNDETECTION, {_AP: 0.766}),
    PublishedRow("nnDetection, test split", _TASK07, _NNDETECTION, {_AP: 0.791}),
    PublishedRow("nnU-Net Plus, five folds", _TASK07, _NNDETECTION, {_AP: 0.721}),
    PublishedRow("nnU-Net Basic, five folds", _TASK07, _NNDETECTION, {_AP: 0.691}),
    PublishedRow(
        "frozen features, attention with MLP, five folds",
        _QUIZ,
        "public repository of Charles Chen; selection optimism admitted",
        {_PANCREAS: 0.9325, _LESION: 0.6308, _F1: 0.630},
    ),
    PublishedRow(
        "frozen features, two-query attention",
        _QUIZ,
        "public repository of Amirfaham1, v5; out of fold 0.508",
        {_PANCREAS: 0.920, _LESION: 0.620, _F1: 0.525},
    ),
    PublishedRow(
        "PanDx, first place",
        "PANORAMA test set",
        "PANORAMA challenge; PDAC against the rest",
        {_AUROC: 0.9263},
    ),
)
"""Every row there is."""


@dataclass(frozen=True, slots=True)
class PublishedSize:
    """The size that a paper gives for its networks.

    Args:
        who: What a reader calls the method.
        fp32_mb: Parameters as float32, in MB of a million bytes.
        source: Where it was read.
        systems: Names of the catalogue's systems it belongs beside.
    """

    who: str
    fp32_mb: float
    source: str
    systems: tuple[str, ...]


_MTMED3D = ("mtmed3d", "mtmed3d_fpn_gradnorm", "mtmed3d_fpn_mgda", "mtmed3d_panet_mgda")
_SINGLE = ("swin_segmentation", "swin_classification", "swin_detection")

SIZES = (
    PublishedSize(
        "MTMed3D, three tasks in one network (four-channel brain MR)",
        306.79,
        "the paper, Table VI",
        (*_MTMED3D, *_SINGLE),
    ),
    PublishedSize(
        "three single-task networks (four-channel brain MR)",
        587.81,
        "the paper, Table VI",
        (*_MTMED3D, *_SINGLE),
    ),
)
"""Every size there is."""


def sizes_beside(system: str) -> tuple[PublishedSize, ...]:
    """Return the sizes that the paper of a system gives."""
    return tuple(size for size in SIZES if system in size.systems)


def rows_beside(system: str) -> tuple[PublishedRow, ...]:
    """Return the rows to print beside a system: its own paper's first, then everybody's.

    Args:
        system: Name of the system, e.g. "resenc_multitask".
    """
    own = tuple(row for row in PUBLISHED if system in row.systems)
    return own + tuple(row for row in PUBLISHED if not row.systems)
