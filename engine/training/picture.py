"""Draw what a network says of validation cases, beside what the reference says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

RESEARCH_USE = "Research use only – not for clinical use"

_TILE = 288  # ours: pixels; four tiles fit side by side into the panel
_FOOT = 20
_GREY_PERCENTILES = (5, 99)  # ours: shown from black to white, whatever the normalisation
_BACKGROUND = (14, 18, 23)
_TEXT = (214, 220, 226)
# ours: told apart by the colour-blind, and in the window's own colours for structures.
_REFERENCE = (86, 180, 233)
_PREDICTED = (240, 168, 48)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One case to draw.

    Args:
        title: Its id and scores.
        image: (D, H, W), normalised.
        reference: (D, H, W) label values.
        predicted: (D, H, W) label values.
        spacing_mm: (slice, row, column).
        scores: Dice by structure.
        boxes: (n, 6) of the detected lesions, in voxels: lower, then upper (slice, row, column).
    """

    title: str
    image: NDArray[np.float32]
    reference: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    scores: Mapping[str, float]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 6), np.float32))


def draw(sights: Sequence[Sight], path: Path) -> None:
    """Write one PNG: for each case the axial slice with most lesion, else most pancreas.

    Patient right is on the left of the picture; the reference is outlined in blue, the
    prediction in orange, lesions more strongly. Detected boxes are orange frames.
    """
    width = _TILE * max(1, len(sights))
    picture = Image.new("RGB", (width, _TILE + 2 * _FOOT), _BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for number, sight in enumerate(sights):
        picture.paste(_tile(sight), (number * _TILE, _FOOT))
        pen.text((number * _TILE + 6, 4), sight.title, fill=_TEXT)
    pen.text((6, _TILE + _FOOT + 4), "reference", fill=_REFERENCE)
    pen.text((76, _TILE + _FOOT + 4), "prediction", fill=_PREDICTED)
    pen.text((150, _TILE + _FOOT + 4), RESEARCH_USE.replace("–", "-"), fill=_TEXT)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    picture.save(part, format="PNG")
    part.replace(path)


def _tile(sight: Sight) -> Image.Image:
    number = _best_slice(sight.reference)
    plane = sight.image[number].astype(np.float32)
    low, high = np.percentile(plane, _GREY_PERCENTILES)
    grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
    rows, columns = (
        length * spacing for length, spacing in zip(grey.shape, sight.spacing_mm[1:], strict=True)
    )
    scale = _TILE / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    tile = Image.fromarray((grey * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    shown = np.array(tile.convert("RGB"))
    for labels, colour in ((sight.reference, _REFERENCE), (sight.predicted, _PREDICTED)):
        for value in (1, 2):
            _outline(shown, labels[number] >= value, colour, strong=value == 2)
    picture = Image.fromarray(shown)
    _draw_boxes(picture, sight, number)
    framed = Image.new("RGB", (_TILE, _TILE), _BACKGROUND)
    framed.paste(picture, ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return framed


def _draw_boxes(picture: Image.Image, sight: Sight, number: int) -> None:
    """Frame the detected lesions that the slice `number` passes."""
    pen = ImageDraw.Draw(picture)
    height, width = sight.image.shape[1:]
    along_row, along_column = picture.height / height, picture.width / width
    for low, top, left, high, bottom, right in sight.boxes:
        if low <= number < high:
            corners = (
                left * along_column,
                top * along_row,
                right * along_column,
                bottom * along_row,
            )
            pen.rectangle(corners, outline=_PREDICTED)


def _best_slice(reference: NDArray[np.uint8]) -> int:
    for value in (2, 1):
        area = (reference >= value).sum(axis=(1, 2))
        if area.any():
            return int(area.argmax())
    return len(reference) // 2


def _outline(
    shown: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, ...], *, strong: bool
) -> None:
    height, width = shown.shape[:2]
    sized = Image.fromarray(mask.astype(np.uint8) * 255).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    inside = np.array(sized) > 127
    edge = inside & np.logical_not(ndimage.binary_erosion(inside, iterations=2 if strong else 1))
    share = 1.0 if strong else 0.75
    shown[edge] = (share * np.array(colour) + (1 - share) * shown[edge]).astype(np.uint8)
