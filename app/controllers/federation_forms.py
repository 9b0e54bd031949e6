"""What the forms of the federation page ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.dialogs.form import Field
from engine.archive.federation_terms import TERMS
from engine.archive.registered import all_systems
from engine.errors import IsletError

METHODS = ("fedavg", "fedprox", "dtp", "dwa")
SIZES = ("toy", "small", "full")
STATES = ("as the data set says", "annotated", "absent", "unlabelled")
STRUCTURES = ("pancreas", "lesion")
REQUEST_TEXT = (
    "A private key is made in the folder, and stays there. What goes to the coordinator is"
    " request.zip; read them the fingerprint of the key by phone."
)
COORDINATE_TEXT = (
    "An authority is made that signs the sites' certificates, and a server. Tell the hospitals the"
    " federation's name, and read them its fingerprint by phone."
)
TERMS_TEXT = "\n\n".join(TERMS)
STOPPING = {
    True: "The sites wait until it is started again; runs can be resumed.",
    False: "What is finished is kept. The federation goes on without it if it can.",
}
"""What a stop means, by whether it is the coordinator's."""
_PERCENT = 100


class NotAFederationError(IsletError):
    """A folder that is no federation's."""

    def __init__(self) -> None:
        super().__init__(
            "This folder is not that of a federation.",
            remedy="Choose a coordinator's folder, a site's, or that of a simulation.",
        )


def request_fields() -> tuple[Field, ...]:
    """Return what a hospital gives to ask for membership."""
    return (
        Field("federation", "Federation", hint="its name, as the coordinator told you"),
        Field("name", "Name of this site", hint="small letters and digits, e.g. north"),
        Field("organisation", "Organisation", hint="your hospital"),
        Field("folder", "New folder", "new_folder", hint="keeps the private key; never share it"),
    )


def join_fields() -> tuple[Field, ...]:
    """Return what a hospital gives to join with the coordinator's answer."""
    return (
        Field("signed", "The coordinator's answer", "file", hint="NAME.signed.zip"),
        Field("fingerprint", "Authority's fingerprint", hint="as the coordinator read it aloud"),
    )


def start_fields(data: str, share_at_most: float, device: str) -> tuple[Field, ...]:
    """Return what a hospital gives to take part."""
    hint = "absent: looked for, and not there; unlabelled: nobody looked"
    states = tuple(
        Field(structure, f"{structure.capitalize()} was", "choice", STATES[0], STATES, hint)
        for structure in STRUCTURES
    )
    return (
        Field("data", "Data set", "folder", data, hint="in nnU-Net's or the Decathlon's layout"),
        *states,
        Field("share", "Leaves at most, %", value=f"{share_at_most * 100:g}"),
        Field("device", "Device", value=device, hint="auto, cpu or cuda:0"),
    )


def coordinate_fields() -> tuple[Field, ...]:
    """Return what a coordinator gives to begin a federation."""
    return (
        Field("name", "Federation", hint="small letters and digits, e.g. pancreas-trial"),
        Field("host", "This computer's name", hint="under which the sites reach it"),
        Field("port", "Port", value="8002"),
        Field("organisation", "Organisation", hint="whose federation it is"),
        Field("folder", "New folder", "new_folder", hint="keeps the authority's private key"),
    )


def approve_fields() -> tuple[Field, ...]:
    """Return what a coordinator gives to let a site in."""
    return (
        Field("request", "The hospital's request", "file", hint="request.zip"),
        Field("fingerprint", "Key's fingerprint", hint="as the hospital read it aloud"),
    )


def revoke_fields(sites: tuple[str, ...]) -> tuple[Field, ...]:
    """Return what a coordinator gives to revoke a site."""
    return (Field("site", "Site", "choice", choices=sites),)


def run_fields(systems: tuple[str, ...]) -> tuple[Field, ...]:
    """Return what a run of a federation is asked for with."""
    return (
        Field("run", "Name of the run", hint="letters, digits, - and _"),
        *_system_fields(systems),
        Field("min_sites", "Sites needed", value="2", hint="fewer end no round"),
        Field("grace", "Others are waited for, s", value="600"),
    )


def simulate_fields(systems: tuple[str, ...]) -> tuple[Field, ...]:
    """Return what a simulation is asked for with."""
    return (
        *_system_fields(systems),
        Field("sites", "Sites", "file", hint="JSON; three of phantoms without it", is_needed=False),
        Field("out", "New folder", "new_folder", value=str(Path.home() / "federation")),
    )


def _system_fields(systems: tuple[str, ...]) -> tuple[Field, ...]:
    return (
        Field("system", "System", "choice", "c2fnas", systems),
        Field("method", "Method", "choice", "fedavg", METHODS),
        Field("size", "Size", "choice", "small", SIZES),
        Field("rounds", "Rounds", hint="the system's own without it", is_needed=False),
        Field("epochs", "Local epochs", hint="the system's own without it", is_needed=False),
        Field("share", "Part of every update that leaves, %", value="25"),
    )


def federable() -> tuple[str, ...]:
    """Return what a federation can train: systems that segment, with no head fitted afterwards."""
    return tuple(
        system.name
        for system in all_systems()
        if "segmentation" in system.head_names and "subtype" not in system.head_names
    )


def common_words(given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a command that say size, share, rounds and epochs."""
    words = ["--size", given["size"], "--share", part_of(given["share"])]
    for name, option in (("rounds", "--rounds"), ("epochs", "--local-epochs")):
        if given[name]:
            words += [option, given[name]]
    return tuple(words)


def part_of(percent: str) -> str:
    """Return a part of one; what is no number is left for the command to refuse."""
    try:
        return f"{float(percent) / _PERCENT:g}"
    except ValueError:
        return percent
