"""Say whether NVIDIA FLARE is there, which real federations need."""

from __future__ import annotations

from importlib.util import find_spec

from engine.errors import IsletError


class FederatedExtraMissingError(IsletError):
    """NVIDIA FLARE is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Real federations need NVIDIA FLARE, which is not installed.",
            remedy="Type 'make setup-federated' once; simulations do not need it.",
        )


def require_flare() -> None:
    """Refuse to go on where NVIDIA FLARE is not installed.

    Raises:
        FederatedExtraMissingError: If it is not.
    """
    if find_spec("nvflare") is None:
        raise FederatedExtraMissingError
