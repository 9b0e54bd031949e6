"""Traces the border of a mask as closed lines between its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Unit steps right, down, left, up; a border runs clockwise on the screen, its mask on the right.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def trace_borders(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the closed borders of a mask, holes included.

    A border runs through the middles of the pixel edges between inside and outside, so corners
    are cut by half a pixel and steps become slopes.

    Args:
        mask: (rows, columns).

    Returns:
        One (n, 2) array of (x, y) per border, pixel corners at whole numbers, not repeated at
        the end. Filled with the odd-even rule they give the mask back.
    """
    edges = _directed_edges(mask)
    borders: list[NDArray[np.float64]] = []
    while edges:
        corners, directions = _walk(edges)
        steps = np.asarray(_STEPS, dtype=np.float64)[directions]
        borders.append(np.asarray(corners, dtype=np.float64) + steps / 2)
    return borders


def _directed_edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """Map each corner (x, y) to the directions of the border edges that leave it."""
    padded = np.pad(mask, 1).astype(np.int8)
    below_minus_above = padded[1:, 1:-1] - padded[:-1, 1:-1]
    right_minus_left = padded[1:-1, 1:] - padded[1:-1, :-1]
    edges: dict[tuple[int, int], list[int]] = {}
    for change, value, direction, shift_x, shift_y in (
        (below_minus_above, 1, 0, 0, 0),
        (right_minus_left, -1, 1, 0, 0),
        (below_minus_above, -1, 2, 1, 0),
        (right_minus_left, 1, 3, 0, 1),
    ):
        y, x = np.nonzero(change == value)
        for corner in zip((x + shift_x).tolist(), (y + shift_y).tolist(), strict=True):
            edges.setdefault(corner, []).append(direction)
    return edges


def _walk(edges: dict[tuple[int, int], list[int]]) -> tuple[list[tuple[int, int]], list[int]]:
    """Take one closed border out of `edges`."""
    start = next(iter(edges))
    corner, corners, directions = start, [], []
    while corner != start or not corners:
        leaving = edges[corner]
        # Where two pixels touch at a corner, turn right: each keeps a border of its own.
        turn = (directions[-1] + 1) % 4 if directions else leaving[0]
        direction = turn if turn in leaving else leaving[0]
        leaving.remove(direction)
        if not leaving:
            del edges[corner]
        corners.append(corner)
        directions.append(direction)
        step = _STEPS[direction]
        corner = (corner[0] + step[0], corner[1] + step[1])
    return corners, directions
