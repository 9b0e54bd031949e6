"""Errors that a person can read and act on."""

from __future__ import annotations

from typing import Any


class IsletError(Exception):
    """Something went wrong that the user can understand and act on.

    Args:
        message: What happened, as a finished sentence.
        remedy: What to do about it, as a finished sentence.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes an exception is made anew from its arguments, and most kinds of this
        # one are made from others than a message and a remedy.
        return _made_anew, (type(self), self.args), self.__dict__


class CancelledError(IsletError):
    """The user asked for the work to stop."""

    def __init__(self) -> None:
        super().__init__("The work was cancelled.", remedy="Start it again when you are ready.")


def _made_anew(kind: type[IsletError], args: tuple[Any, ...]) -> IsletError:
    error = kind.__new__(kind)
    error.args = args
    return error
