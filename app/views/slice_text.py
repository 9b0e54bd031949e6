"""What the corners of a plane say about its slice."""

from __future__ import annotations

import numpy as np

from app.views.corner_text import Corners, Line, identity_lines, series_lines
from app.views.pane_map import PaneMap
from engine.case import Case

_LOOK_AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The patient axis (0 x, 1 y, 2 z) a pane looks along."""


def slice_corners(
    case: Case | None,
    pane_map: PaneMap,
    number: int,
    *,
    cursor_mm: tuple[float, float, float] | None,
    window_hu: tuple[float, float],
    hu: float | None,
) -> Corners:
    """Return the corner text of a slice.

    Args:
        case: What is open, or None while only a first look is there.
        pane_map: The plane with its zoom.
        number: The slice.
        cursor_mm: (x, y, z) LPS of the crosshair, or None.
        window_hu: (width, centre).
        hu: Density under the pointer, or None.
    """
    plane = pane_map.plane
    axis = _LOOK_AXIS[plane.name]
    here = (cursor_mm or plane.to_patient(0, 0, number))[axis]
    width, centre = window_hu
    return Corners(
        top_left=identity_lines(case) if case is not None else (),
        top_right=series_lines(case) if case is not None else (),
        bottom_left=(
            Line(f"{plane.thickness_mm:.1f} mm slices", 2, quiet=True),
            Line(f"{'xyz'[axis]} {here:.1f} mm".replace("-", "−"), 1, quiet=True),
            Line(f"Slice {number + 1}/{plane.num_slices}"),
        ),
        bottom_right=(
            Line(f"{hu_text(hu)} HU" if hu is not None else "", 1),
            Line(f"Zoom {pane_map.viewport.zoom * 100:.0f} %", 2, quiet=True),
            Line(f"W {width:g}  L {centre:g}".replace("-", "−")),
        ),
    )


def hu_text(hu: float) -> str:
    """Write a density exactly: whole numbers bare, others with every digit they have."""
    return np.format_float_positional(np.float32(hu), trim="-").replace("-", "−")
