"""`islet phantom`: make CT-like abdomens with exact ground truth."""

from __future__ import annotations


def phantom() -> None:
    """Make phantoms."""
