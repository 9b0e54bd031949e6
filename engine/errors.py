"""Errors that a person can read and act on."""


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


class CancelledError(IsletError):
    """The user asked for the work to stop."""

    def __init__(self) -> None:
        super().__init__("The work was cancelled.", remedy="Start it again when you are ready.")
