"""How each surface of the three-dimensional view is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor

from app import theme
from app.session import Layer
from engine.finding import Finding, Review

BODY, BONE = "body", "bone"
"""Structures that only say where one is."""

_SHELL_OPACITY = 0.16
_PANCREAS_OPACITY = 0.6  # ours: the lesion within shows through


@dataclass(frozen=True, slots=True)
class Look:
    """How a surface is drawn.

    Args:
        colour: "#rrggbb".
        opacity: 0 to 1; 0 is not drawn at all.
        shell: Whether only the far side is drawn, so that nothing lies in front of the rest.
        in_front: Whether it is drawn over everything that is not, however near that is.
    """

    colour: str
    opacity: float
    shell: bool = False
    in_front: bool = False


def look_of(
    structure: str,
    finding_id: str | None,
    *,
    layers: tuple[Layer, ...],
    findings: tuple[Finding, ...],
) -> Look:
    """Return how a structure is drawn, or its part that belongs to a finding."""
    colour = theme.structure_colour(structure)
    if structure == BODY:
        return Look(colour.name(), _SHELL_OPACITY, shell=True)
    if structure == BONE:
        return Look(_muted(colour), 1.0)
    layer = next((layer for layer in layers if layer.structure == structure), None)
    if layer is not None and not layer.visible:
        return Look(colour.name(), 0.0, in_front=True)
    finding = next((f for f in findings if f.finding_id == finding_id), None)
    if finding is not None and finding.review is Review.REJECTED:
        return Look(theme.REJECTED, 0.25, in_front=True)
    opacity = _PANCREAS_OPACITY if structure == "pancreas" else 1.0
    return Look(colour.name(), opacity, in_front=True)


def _muted(colour: QColor) -> str:
    """Return a colour that stays behind the bright ones of the organs."""
    return colour.darker(170).name()
