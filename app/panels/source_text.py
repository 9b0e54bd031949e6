"""How a series or image file is named in a list."""

from __future__ import annotations

from engine.data.source import Source

_KIND_TEXT = {
    "ct": "CT",
    "localiser": "Localiser",
    "secondary": "Secondary capture",
    "labels": "Label map",
    "other": "Other",
}


def detail_text(source: Source) -> str:
    """Return the kind, the number of slices, their distance and the phase."""
    words = [_KIND_TEXT.get(source.kind, source.kind)]
    if source.kind == "other" and source.modality:
        words = [source.modality]
    if source.num_slices:
        words.append(f"{source.num_slices} slice{'s' if source.num_slices != 1 else ''}")
    if source.slice_spacing_mm is not None:
        words.append(f"{source.slice_spacing_mm:.3g} mm")
    if source.series is not None and source.series.phase:
        words.append(source.series.phase)
    return "  ·  ".join(words)


def can_open(source: Source) -> bool:
    """Return whether the window can show it: a CT with slices."""
    return source.kind == "ct" and source.num_slices > 0
