"""What the picker says about a system, read without loading any network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.archive.registered import Provenance, provenance_of, weights_of
from engine.archive.weights_file import count_parameters
from engine.system import System


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The weights of a system.

    Args:
        has_weights: Whether it can analyse a case.
        num_parameters: Stored in its weights; None without weights.
        provenance: The training it comes from, where it was registered on this computer.
    """

    has_weights: bool
    num_parameters: int | None = None
    provenance: Provenance | None = None


def facts_of(system: System) -> SystemFacts:
    """Count the parameters that the weights file of `system` declares in its header."""
    path = weights_of(system.name)
    # Missing or broken weights: the system can be looked at, not used.
    count = None if path is None else count_parameters(path)
    if count is None:
        return SystemFacts(has_weights=False)
    return SystemFacts(True, count, provenance_of(system.name))


def title_text(system: System, facts: SystemFacts) -> str:
    """Return what a system is called; of those trained here several may share a title."""
    return f"{system.name} – {system.title}" if facts.provenance else system.title


def heads_text(system: System) -> str:
    """Return what the system predicts, in words."""
    words = [head.name.replace("_", " ") for head in system.heads]
    if system.subtypes:
        words.append(f"{len(system.subtypes)} subtypes")
    return ", ".join(words)


def parameters_text(facts: SystemFacts) -> str:
    """Return the size of the network, or that there are no weights."""
    if facts.num_parameters is None:
        return "No weights on this computer"
    if facts.num_parameters < 1_000_000:
        return f"{facts.num_parameters / 1e3:.0f} thousand parameters"
    return f"{facts.num_parameters / 1e6:.1f} million parameters"


def training_text(facts: SystemFacts) -> str:
    """Return how a system was trained here; empty for those that came with Islet."""
    told = facts.provenance
    if told is None:
        return ""
    epochs = "1 epoch" if told.num_epochs == 1 else f"{told.num_epochs} epochs"
    date = datetime.fromisoformat(told.registered).strftime("%Y-%m-%d")
    words = [f"Here, {epochs} on {told.dataset}, registered {date}"]
    # Of its last validation.
    words += [f"{name[:1].upper()}{name[1:]} {value:.2f}" for name, value in told.scores.items()]
    return "; ".join(words)
