"""Run NVIDIA FLARE's own provisioning, which makes keys, certificates and kits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.archive.federation_extra import require_flare
from engine.errors import IsletError

# ours: the server's certificate ends with the authority's, so that only sites are ever renewed.
AUTHORITY_DAYS = 3650
SERVER_DAYS = AUTHORITY_DAYS
SITE_DAYS = 1095
PROFILE = "profile.yml"
AUTHORITY_FOLDER = "authority"

_TAKES_S = 120


class RequestError(IsletError):
    """A request that cannot be approved, or an approval that cannot be used."""


def make_authority(folder: Path) -> None:
    """Make the authority's key and certificate below `folder`, from its profile."""
    flare(
        folder,
        *("cert", "init", "--profile", PROFILE, "-o", AUTHORITY_FOLDER),
        *("--valid-days", str(AUTHORITY_DAYS)),
    )


def make_request(folder: Path, participant: Path, out: str) -> None:
    """Make a private key and a request for a certificate in the folder `out` below `folder`."""
    flare(folder, "cert", "request", "-p", str(participant.absolute()), "--out", out)


def sign(folder: Path, request: Path, days: int) -> None:
    """Answer a request, beside it, with the authority of the coordinator's `folder`."""
    flare(
        folder,
        *("cert", "approve", str(request.absolute()), "--ca-dir", AUTHORITY_FOLDER),
        *("--profile", PROFILE, "--valid-days", str(days)),
    )


def package(folder: Path, signed: Path, private: Path, authority: str, kit: Path) -> None:
    """Make a kit of an answer, whose signature by the authority is verified.

    Args:
        folder: May be written to meanwhile.
        signed: The answer.
        private: Folder of the request with its private key.
        authority: Fingerprint of the authority's certificate.
        kit: Where the kit goes, which is not there yet.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        flare(
            folder,
            *("package", str(signed.absolute()), "--request-dir", str(private.absolute())),
            *("--fingerprint", f"SHA256:{authority}", "-w", str(Path(place).absolute())),
        )
        (made,) = Path(place).glob("*/prod_*/*")
        made.rename(kit)
    (kit / "startup").chmod(0o700)
    for key in kit.glob("startup/*.key"):
        key.chmod(0o600)


def flare(folder: Path, *words: str) -> None:
    """Run FLARE's tool in `folder`, which takes what it would note in the user's home.

    Raises:
        FederatedExtraMissingError: If it is not installed.
        RequestError: If it refuses.
    """
    require_flare()
    own = folder.absolute() / "provisioning"
    own.mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "nvflare.cli", *words],
        cwd=folder,
        # Certificates and keys are not put into a folder that others share, even for a moment.
        env={**os.environ, "HOME": str(own), "TMPDIR": str(own)},
        capture_output=True,
        text=True,
        timeout=_TAKES_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise RequestError(
            f"The certificates could not be made: {_first_words(done.stderr or done.stdout)}",
            remedy="Check the file and the names, and try again.",
        )


def _first_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") + "." if lines else "FLARE gave no reason."
