"""Say what leaves a site, and what does not: in general, and in numbers for one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TERMS = (
    "What leaves: after every round, numbers by which the network has changed, from all of its"
    " layers; the mean training loss, the number of training cases, and the Dice of the cases that"
    " were held back.",
    "How much of it leaves is said for every run, and noted for every round; the site may set a"
    " limit, which is kept here and not at the server.",
    "What never leaves: images, outlines, names of cases or patients, paths, and logs.",
    "Updates of a network can tell something of the cases it learnt from. Nothing here is a"
    " formal guarantee of differential privacy.",
    "No code comes from the federation: the site runs what is installed on it.",
    "When a run is finished, the weights that were best at this site are sent whole: the others"
    " judge them for the cross-site table. A site that has set a limit keeps them.",
    "Research use only – not for clinical use.",
)
"""Sentences that a site agrees to, for research use only."""


def terms_of_site(share_at_most: float) -> tuple[str, ...]:
    """Return what a site agrees to, with the limit it has set."""
    return (*TERMS, f"The limit of this site: {_percent(share_at_most)} of every update.")


def needs_text(needs: Mapping[str, Any]) -> str:
    """Return what a dry run of a federation found, in words.

    Args:
        needs: What `islet federate run --dry-run --json` prints.
    """
    there, missing = needs["connected_sites"], needs["missing_sites"]
    epochs = "one epoch" if needs["local_epochs"] == 1 else f"{needs['local_epochs']} epochs"
    waits = "" if len(there) >= needs["min_sites"] else " It waits until enough are there."
    return (
        f"{needs['system']}: {needs['rounds']} rounds of {epochs}, {needs['numbers']:,}"
        f" numbers. Every round {needs['bytes_to_site'] / 1e6:.1f} MB go to a"
        f" site, and about {needs['bytes_from_site'] / 1e6:.1f} MB come back of"
        f" {needs['dense_bytes'] / 1e6:.1f} MB.\n\n"
        f"Connected: {', '.join(there) or 'no site'}. Not connected:"
        f" {', '.join(missing) or 'no site'}. At least {needs['min_sites']} are needed.{waits}"
    )


def terms_of_run(shared: Mapping[str, Any], share_at_most: float) -> dict[str, Any]:
    """Return what leaves a site in every round of one run, in numbers and a sentence.

    Args:
        shared: Of the run, as the site's event "job" says it.
        share_at_most: The site's own limit.

    Returns:
        "tensors", "numbers" and "bytes" that leave at most in a round, the "fraction" of an update
        that they are, "with_memory" whether held-back numbers are sent once they have grown, and
        all of it as the sentence "text".
    """
    fraction = min(float(shared["fraction"]), share_at_most)
    total, tensors = int(shared["numbers"]), int(shared["tensors"])
    numbers = -(-round(total * fraction * 1_000_000) // 1_000_000)
    # Four bytes a number, and a bit for every one to say which they are.
    size = 4 * numbers + (total + 7) // 8
    with_memory = bool(shared["with_memory"])
    text = (
        f"In every round at most {numbers} of {total} numbers leave, the largest"
        f" {_percent(fraction)}, out of {tensors} tensors: about {max(size // 1000, 1)} kB."
    )
    if with_memory:
        text += " What is held back is added to the next round, so that in time all of it leaves."
    return {
        "tensors": tensors,
        "numbers": numbers,
        "bytes": size,
        "fraction": fraction,
        "with_memory": with_memory,
        "text": text,
    }


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g} %"
