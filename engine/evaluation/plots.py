"""Draw an evaluation: overlaps, FROC, confusion and reliability, as PNG and SVG.

Matplotlib is imported when the first picture is drawn: most programs draw none.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.evaluation.calibration import Bin, calibration_error
from engine.evaluation.detection import froc
from engine.evaluation.evaluate import Evaluation
from engine.evaluation.figures import case_reliability, subtype_reliability
from engine.evaluation.table import amount_of_cases

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

_NOTICE = "Research use only – not for clinical use"
_INK, _GRID = "#22303c", "#d5dbe0"
# Okabe and Ito's blue, vermilion and green: told apart also without full colour vision.
_BLUE, _RED, _GREEN = "#0072b2", "#d55e00", "#009e73"
_MOST_FALSE_PER_CASE = 8.0


def draw_all(evaluation: Evaluation, folder: Path) -> tuple[str, ...]:
    """Write every picture that the evaluation has cases for, as PNG and as SVG.

    Args:
        evaluation: To draw.
        folder: Where to; it must exist.

    Returns:
        Names of the PNG files.
    """
    drawings: dict[str, Callable[[Evaluation], Picture | None]] = {
        "dice": _dice,
        "froc": _froc,
        "confusion": _confusion,
        "reliability": _reliability,
    }
    pictures = {name: draw(evaluation) for name, draw in drawings.items()}
    drawn = {name: picture for name, picture in pictures.items() if picture is not None}
    for name, picture in drawn.items():
        _save(picture, folder / name)
    return tuple(f"{name}.png" for name in drawn)


def _dice(evaluation: Evaluation) -> Picture | None:
    structures = {
        "Pancreas": [row.pancreas.dice for row in evaluation.rows],
        "Lesion": [row.lesion.dice for row in evaluation.rows],
    }
    known = {name: [v for v in values if not isnan(v)] for name, values in structures.items()}
    known = {name: values for name, values in known.items() if values}
    if not known:
        return None
    picture, axes = _picture(f"Dice by case, {evaluation.system}")
    places = range(1, len(known) + 1)
    axes.boxplot(
        list(known.values()), positions=list(places), widths=0.5, showfliers=False,
        medianprops={"color": _RED, "linewidth": 2},
    )  # fmt: skip
    generator = np.random.default_rng(0)
    for place, values in zip(places, known.values(), strict=True):
        beside = place + generator.uniform(-0.16, 0.16, len(values))
        axes.scatter(beside, values, s=14, color=_BLUE, alpha=0.6, linewidths=0, zorder=3)
    names = [f"{name}\n{amount_of_cases(len(values))}" for name, values in known.items()]
    axes.set_xticks(list(places), names)
    axes.set_xlim(0.4, len(known) + 0.6)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("Dice")
    return picture


def _froc(evaluation: Evaluation) -> Picture | None:
    curve = froc([row.detections for row in evaluation.rows if row.matches])
    if not curve:
        return None
    picture, axes = _picture(f"Lesions found at IoU 0.1 (FROC), {evaluation.system}")
    false, sensitivity = zip(*curve, strict=True)
    widest = min(_MOST_FALSE_PER_CASE, 1.05 * max(2.0, *false))
    # A system that stops at some number of false lesions finds no more with more of them.
    axes.step([*false, widest], [*sensitivity, sensitivity[-1]], where="post", color=_BLUE, lw=2)
    limits, found = zip(*evaluation.sensitivity, strict=True)
    axes.scatter(limits, found, color=_RED, s=28, zorder=3, label="at 1/4, 1/2, 1 and 2 false")
    axes.set_xlim(-0.02 * widest, widest)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("False lesions per case")
    axes.set_ylabel("Sensitivity")
    axes.legend(loc="lower right", frameon=False)
    return picture


def _confusion(evaluation: Evaluation) -> Picture | None:
    counts = np.array(evaluation.confusion)
    if not counts.sum():
        return None
    picture, axes = _picture(f"Subtypes, {evaluation.system}")
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if share[row, column] > 0.55 else _INK
        text = f"{count}\n{share[row, column]:.0%}" if count else "0"
        axes.text(column, row, text, ha="center", va="center", color=ink)
    subtypes = [name.replace(" ", "\n", 1) for name in evaluation.abilities.subtypes]
    axes.set_xticks(range(counts.shape[1]), [*subtypes, "no answer"])
    axes.set_yticks(range(counts.shape[0]), subtypes)
    axes.set_xlabel("Answer")
    axes.set_ylabel("True subtype")
    axes.grid(False)
    return picture


def _reliability(evaluation: Evaluation) -> Picture | None:
    lines = {
        "a lesion in the case": (case_reliability(evaluation.rows), _BLUE),
        "the subtype answered": (_subtype_bins(evaluation), _GREEN),
    }
    known = {name: line for name, line in lines.items() if line[0]}
    if not known:
        return None
    picture, axes = _picture(f"Does a probability mean what it says? {evaluation.system}")
    axes.plot([0, 1], [0, 1], color=_INK, lw=1, ls=":", label="as it should be")
    for name, (bins, colour) in known.items():
        sizes = [12 + 4 * part.num_cases for part in bins]
        stated, true = [b.confidence for b in bins], [b.accuracy for b in bins]
        label = f"{name}, ECE {calibration_error(bins):.3f}"
        axes.plot(stated, true, color=colour, lw=1.5, label=label)
        axes.scatter(stated, true, s=sizes, color=colour, alpha=0.7, linewidths=0, zorder=3)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("Probability stated (mean of a bin; the larger the dot, the more cases)")
    axes.set_ylabel("Share of cases where it was so")
    axes.legend(loc="best", framealpha=0.85, edgecolor="none")
    return picture


def _subtype_bins(evaluation: Evaluation) -> tuple[Bin, ...]:
    return subtype_reliability(evaluation.rows) if evaluation.abilities.subtypes else ()


def _picture(title: str) -> tuple[Picture, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    # Without pyplot: it would look for a display, and keep every picture for ever.
    picture = Picture(figsize=(6.4, 4.8), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    axes.set_title(title, color=_INK, fontsize=11)
    axes.grid(True, color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    picture.supxlabel(_NOTICE, fontsize=8, color=_RED)
    return picture, axes


def _save(picture: Picture, path: Path) -> None:
    from matplotlib import rc_context

    # Without dates and random names: the same evaluation gives the same files.
    with rc_context({"svg.hashsalt": "islet"}):
        picture.savefig(path.with_suffix(".png"))
        picture.savefig(path.with_suffix(".svg"), metadata={"Date": None})
