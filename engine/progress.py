"""How long work says how far it is, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, float], None]
"""Called with (stage, fraction of that stage done, 0 to 1).

To cancel, the callback raises `engine.errors.CancelledError`; the work lets it pass.
"""


def ignore_progress(_stage: str, _fraction: float) -> None:
    """Report to nobody."""
