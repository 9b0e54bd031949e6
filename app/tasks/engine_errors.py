"""How the end of the engine process becomes words."""

from __future__ import annotations

from engine import wire
from engine.errors import IsletError

# SIGKILL and SIGTERM, as numbers: Windows does not name the first.
_SIGNALS_FROM_OUTSIDE = (9, 15)


class EngineOutOfMemoryError(IsletError):
    """The engine needed more memory than there was."""

    def __init__(self) -> None:
        super().__init__(
            "The analysis ran out of memory.",
            remedy="Close other programs, or choose a system that looks at a smaller region, "
            "and analyse again.",
        )


class EngineKilledError(IsletError):
    """Something outside Islet ended the engine."""

    def __init__(self) -> None:
        super().__init__(
            "The operating system stopped the analysis, most likely because memory ran out.",
            remedy="Close other programs and analyse again; the engine has been started afresh.",
        )


class EngineCrashedError(IsletError):
    """The engine broke down."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(
            f"The analysis engine broke down (code {exit_code}).",
            remedy="Analyse again; if it breaks down again, report it with the log from the "
            "Help menu.",
        )
        self.exit_code = exit_code


class EngineStartError(IsletError):
    """The engine does not come up, however often it is started."""

    def __init__(self) -> None:
        super().__init__(
            "The analysis engine does not start.",
            remedy="Restart Islet; if that does not help, install it again and report it with "
            "the log from the Help menu. Viewing works without the engine.",
        )


def error_of_exit(exit_code: int, *, was_signal: bool) -> IsletError:
    """Return what to tell the reader about an engine that ended by itself.

    Args:
        exit_code: The exit code, or the number of the signal that ended the process.
        was_signal: Whether it is a signal's number.
    """
    if was_signal and exit_code in _SIGNALS_FROM_OUTSIDE:
        return EngineKilledError()
    if not was_signal and exit_code == wire.EXIT_OUT_OF_MEMORY:
        return EngineOutOfMemoryError()
    return EngineCrashedError(exit_code)
