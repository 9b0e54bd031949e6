"""Run a whole federation on one machine, round by round."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.archive.run_folder import replace_text, write_json
from engine.data.store import StoredCase
from engine.federated.aggregate import Report, Update, difference
from engine.federated.local import Scores, buffers_of, score, tensors_of
from engine.federated.members import Member, first_network, open_member
from engine.federated.rounds import Contribution, Rounds, exported_system, overall
from engine.federated.sharing import encode, share, share_with_memory
from engine.federated.sites import Site
from engine.inference.model import save_model
from engine.progress import OnProgress, ignore_progress
from engine.system import Federation, System
from engine.system_json import system_to_json
from engine.training.checkpoint import load_checkpoint, save_checkpoint
from engine.training.follow import Nobody, StepRecord

log = logging.getLogger(__name__)

RECORDS_FILE, RESULT_FILE = "rounds.jsonl", "result.json"
WEIGHTS_FILE, SYSTEM_FILE = "weights.safetensors", "system.json"
_STATE_FILE = "federation.pt"


@dataclass(frozen=True, slots=True)
class Simulation:
    """One federation to run.

    Args:
        system: At the size wanted, with its federation; trained without its localiser.
        sites: Its members.
        folder: Where everything of it goes; called again, it goes on there.
        stores: Folder of the sites' prepared cases; simulations of the same sites share it.
        size: Name of the size.
        seed: Of the first weights and of every site's patches.
        device: "auto", "cpu" or "cuda:N".
        remembers_unsent: Whether sites send what they held back once it has grown (ours).
        guests: Sites that take no part, and whose cases judge the model, too.
    """

    system: System
    sites: tuple[Site, ...]
    folder: Path
    stores: Path
    size: str = "toy"
    seed: int = 1
    device: str = "auto"
    remembers_unsent: bool = False
    guests: tuple[Site, ...] = ()

    @property
    def federation(self) -> Federation:
        """The federation of the system."""
        assert self.system.federation is not None, "a simulation is of a federation"
        return self.system.federation


@dataclass(frozen=True, slots=True)
class Result:
    """What a federation came to.

    Args:
        best_round: Whose aggregate validated best, counted from 1; the last one is a candidate.
        scores: Of that model, by site, on the cases held back to judge it.
        records: What every round was like, as JSON values.
        local_scores: By site, scores at every site of the weights that validated best there
            after its own training, before they were aggregated. Empty for a site alone.
    """

    best_round: int
    scores: Mapping[str, Scores]
    records: tuple[dict[str, Any], ...]
    local_scores: Mapping[str, Mapping[str, Scores]]


def simulate(simulation: Simulation, on_progress: OnProgress = ignore_progress) -> Result:
    """Run a federation to its end, or go on where it was left; the same seed gives the same model.

    In every round each site trains from the common model, what it shares really becomes bytes and
    is read back, the server aggregates, and every site validates the aggregate.

    Args:
        simulation: What to run.
        on_progress: Told ("check" | "prepare" | "rounds" | "judge", fraction); to cancel, it
            raises. What is done is kept.

    Raises:
        IsletError: If a site's data cannot be used, or a training cannot go on.
    """
    run = _Run(simulation, on_progress)
    while len(run.rounds.records) < simulation.federation.rounds:
        run.round(len(run.rounds.records) + 1)
    return run.finish()


class _Run:
    """The rounds of one federation."""

    def __init__(self, simulation: Simulation, on_progress: OnProgress) -> None:
        self._simulation = simulation
        self._on_progress = on_progress
        self._members = [_member(simulation, site, on_progress) for site in simulation.sites]
        self._guests = [_member(simulation, site, on_progress) for site in simulation.guests]
        first = first_network(simulation.system, size=simulation.size, seed=simulation.seed)
        self._network = first.to(torch.device(self._members[0].plan.device))
        self.rounds = Rounds(
            simulation.federation, tensors_of(self._network), buffers_of(self._network)
        )
        # What a site carries from round to round beside its checkpoint: what it held back, and the
        # weights that validated best there after its own training, with how well.
        self._unsent: dict[str, dict[str, Tensor]] = {}
        self._own: dict[str, tuple[float, dict[str, Tensor]]] = {}
        self._file = simulation.folder / _STATE_FILE
        if self._file.exists():
            content = load_checkpoint(self._file, simulation.system.name)
            self.rounds.restore(content["rounds"])
            self._unsent, self._own = content["unsent"], content["own"]

    def round(self, number: int) -> None:
        """Train, share, aggregate, validate and keep."""
        begun = time.monotonic()
        contributions: list[Contribution] = []
        for place, member in enumerate(self._members):
            follower = _Steps(self._on_progress, (number - 1) + place / len(self._members), self)
            trained, loss = member.trainer.train_round(self.rounds.model, number, follower)
            report = Report(member.name, member.num_cases, loss)
            update = self._sent(member.name, difference(trained, self.rounds.model))
            contributions.append(Contribution(report, update))
            self._keep_own(member, trained)
        trained_s = time.monotonic() - begun
        record = self.rounds.take(contributions)
        validate = {each.name: each.validate for each in self._members}
        self.rounds.judge(self._scores(self.rounds.model, validate))
        record |= {"training_s": trained_s, "elapsed_s": time.monotonic() - begun}
        self._save()
        self._on_progress("rounds", number / self._simulation.federation.rounds)

    def finish(self) -> Result:
        """Judge the best model on the test cases, and write it down."""
        simulation, best_round = self._simulation, self.rounds.best_round
        self._on_progress("judge", 0.0)
        tests = {each.name: each.test for each in (*self._members, *self._guests)}
        local_scores = {site: self._scores(own, tests) for site, (_, own) in self._own.items()}
        # Last, since the network then holds what is exported.
        scores = self._scores(self.rounds.best, tests)
        system, folder = exported_system(simulation.system), simulation.folder
        save_model(system, self._network, None, folder / WEIGHTS_FILE)
        write_json(folder / SYSTEM_FILE, system_to_json(system))
        found = {"best_round": best_round, "scores": scores, "local_scores": local_scores}
        write_json(folder / RESULT_FILE, found)
        self._on_progress("judge", 1.0)
        return Result(best_round, scores, self.rounds.records, local_scores)

    @property
    def num_rounds(self) -> int:
        """Of the whole federation."""
        return self._simulation.federation.rounds

    @property
    def num_sites(self) -> int:
        """Of the whole federation."""
        return len(self._members)

    def _sent(self, site: str, update: Update) -> bytes:
        """Return what leaves a site of its update."""
        fraction = self._simulation.federation.shared_fraction
        if not self._simulation.remembers_unsent:
            return encode(share(update, fraction))
        shared, rest = share_with_memory(update, fraction, self._unsent.get(site, {}))
        self._unsent[site] = rest
        return encode(shared)

    def _keep_own(self, member: Member, trained: dict[str, Tensor]) -> None:
        """Keep what a site trained if it validates there better than what it trained before."""
        if len(self._members) == 1:
            return
        value = overall(self._scores(trained, {member.name: member.validate}))
        known = self._own.get(member.name)
        if known is None or value > known[0]:
            kept = value if isfinite(value) else -1.0
            self._own[member.name] = (kept, trained)

    def _scores(
        self, model: Update, cases: Mapping[str, tuple[StoredCase, ...]]
    ) -> dict[str, Scores]:
        self._network.load_state_dict(dict(model))
        self._network.eval()
        plan = self._members[0].plan
        return {site: score(self._network, plan, those) for site, those in cases.items()}

    def _save(self) -> None:
        content = {"rounds": self.rounds.content(), "unsent": self._unsent, "own": self._own}
        save_checkpoint(content, self._file)
        lines = "".join(json.dumps(record) + "\n" for record in self.rounds.records)
        replace_text(self._simulation.folder / RECORDS_FILE, lines)


class _Steps(Nobody):
    """Tells how far the rounds are; what hears it may raise to cancel."""

    def __init__(self, on_progress: OnProgress, rounds_done: float, run: _Run) -> None:
        self._on_progress = on_progress
        self._rounds_done = rounds_done
        self._run = run

    def on_step(self, record: StepRecord) -> None:
        """Count the steps of this site's share of the round."""
        per_round = record.epochs / self._run.num_rounds
        epochs = record.epoch - 1 + record.step / record.steps
        share_done = (epochs - per_round * int(self._rounds_done)) / per_round
        done = self._rounds_done + share_done / self._run.num_sites
        self._on_progress("rounds", done / self._run.num_rounds)


def _member(simulation: Simulation, site: Site, on_progress: OnProgress) -> Member:
    return open_member(
        site,
        simulation.system,
        size=simulation.size,
        seed=simulation.seed,
        device=simulation.device,
        store=simulation.stores / site.name,
        checkpoint=simulation.folder / "sites" / f"{site.name}.pt",
        on_progress=on_progress,
    )
