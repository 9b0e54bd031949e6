"""Keep a run of a federation in its folder, so that it survives whatever ends its server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.archive.federation import (
    ORDER_FILE,
    RESULT_FILE,
    ROUNDS_FILE,
    TABLE_FILE,
    FederationFolderError,
    read_members,
    tell,
)
from engine.archive.run_folder import (
    SYSTEM_FILE,
    WEIGHTS_FILE,
    read_control,
    replace_text,
    write_json,
)
from engine.errors import IsletError
from engine.federated.aggregate import Report
from engine.federated.local import Scores, buffers_of, tensors_of
from engine.federated.members import first_network
from engine.federated.rounds import Contribution, Rounds, exported_system
from engine.federated.sharing import DamagedUpdateError, check_fits, decode, dense_bytes, encode
from engine.federated.site_order import SiteOrder, order_from_json
from engine.federated.table import Row, to_json, to_markdown
from engine.inference.model import save_model
from engine.system_json import system_to_json
from engine.training.checkpoint import load_checkpoint, save_checkpoint

_STATE_FILE = "federation.pt"
_TIMES = ("seconds", "training_s")  # of a site's own work in a round, and of its training alone
_REVOKED = {
    "message": "The site was revoked; its answer is not used.",
    "remedy": "The run goes on with the others.",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a round waits, and for how many.

    Args:
        min_sites: Without whose updates no round ends well.
        grace_s: How long the others are waited for once that many have answered.
        round_timeout_s: After which a round ends in any case; 0 waits for ever.
    """

    min_sites: int = 2
    grace_s: float = 600.0  # ours: sites differ in speed, and a round is minutes or hours
    round_timeout_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a site answered.

    Args:
        values: JSON values; a refusal has "message" and "remedy".
        models: By name, encoded.
    """

    values: Mapping[str, Any]
    models: Mapping[str, bytes]

    @property
    def is_refusal(self) -> bool:
        """Whether the site could not do it."""
        return "message" in self.values


def write_order(folder: Path, order: SiteOrder, terms: Terms) -> None:
    """Begin a run in `folder`; may raise OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ORDER_FILE, {"order": order.to_json(), "terms": asdict(terms)})


def read_order(folder: Path) -> tuple[SiteOrder, Terms]:
    """Return what a run is.

    Raises:
        FederationFolderError: If there is none in the folder, or it is damaged.
    """
    try:
        values = json.loads((folder / ORDER_FILE).read_bytes())
        return order_from_json(values["order"]), Terms(**values["terms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FederationFolderError(
            "There is no run of a federation in this folder, or it is damaged.",
            remedy="Name a folder below 'runs' of the coordinator's folder.",
        ) from error


def revoked_sites(folder: Path) -> frozenset[str]:
    """Return the sites that the coordinator of `folder` sent away.

    Raises:
        FederationFolderError: If the list of sites is damaged.
    """
    return frozenset(member.name for member in read_members(folder) if member.revoked)


class RunKeeper:
    """The state of one run, on the disk after every round.

    Args:
        folder: Of the run.

    Raises:
        IsletError: If it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._order, self._terms = read_order(folder)
        federation = self._order.system.federation
        assert federation is not None, "it is a federation's"
        self._federation = federation
        self._network = first_network(
            self._order.system, size=self._order.size, seed=self._order.seed
        )
        self._rounds = Rounds(federation, tensors_of(self._network), buffers_of(self._network))
        self._begun = time.monotonic()
        self._file = folder / _STATE_FILE
        if self._file.exists():
            content = load_checkpoint(self._file, self._order.system.name)
            self._rounds.restore(content["rounds"])

    @property
    def num_rounds(self) -> int:
        """Of the whole run."""
        return self._federation.rounds

    @property
    def next_round(self) -> int | None:
        """Number of the round that is next, counted from 1; None where all are done."""
        done = len(self._rounds.records)
        return None if done >= self.num_rounds else done + 1

    @property
    def min_sites(self) -> int:
        """Without whose updates no round ends well."""
        return self._terms.min_sites

    @property
    def grace_s(self) -> float:
        """How long the others are waited for."""
        return self._terms.grace_s

    @property
    def round_timeout_s(self) -> float:
        """After which a round ends in any case; 0 waits for ever."""
        return self._terms.round_timeout_s

    def wish(self) -> str:
        """Return what the run is asked to do: "run", or "stop" or regroup."""
        return read_control(self._folder) or "run"

    def encoded_model(self) -> bytes:
        """Return the model that the next round begins with."""
        return encode(self._rounds.model)

    def encoded_best(self) -> bytes:
        """Return the aggregate that validated best."""
        return encode(self._rounds.best)

    def question(self, number: int) -> dict[str, Any]:
        """Return what every site is told with a task of round `number`."""
        model = self._rounds.model
        about = {
            "system": self._order.system.name,
            "title": self._order.system.title,
            "rounds": self.num_rounds,
            "min_sites": self.min_sites,
            "shared": {
                "tensors": len(model),
                "numbers": sum(tensor.numel() for tensor in model.values()),
                "fraction": self._federation.shared_fraction,
                "dense_bytes": dense_bytes(model),
                "with_memory": self._order.remembers_unsent,
            },
        }
        return {
            "round": number,
            "order": self._order.to_json(),
            "about": about,
            "records": list(self._rounds.records[-2:]),
            "best_round": self._rounds.best_round,
        }

    def tell_of_preparation(self, sites: Sequence[str]) -> None:
        """Say that the sites prepare their cases."""
        tell(self._folder, "preparing", rounds=self.num_rounds, sites=list(sites))

    def begin_round(self, number: int, sites: Sequence[str]) -> None:
        """Say that a round begins."""
        self._begun = time.monotonic()
        tell(self._folder, "begun", round=number, rounds=self.num_rounds, sites=list(sites))

    def hear(self, number: int, site: str, answer: Answer) -> None:
        """Say that a site answered."""
        if answer.is_refusal:
            return
        num_bytes = sum(len(content) for content in answer.models.values())
        tell(
            self._folder,
            "received",
            round=number,
            site=site,
            loss=answer.values.get("loss"),
            bytes=num_bytes,
            seconds=time.monotonic() - self._begun,
        )

    def end_round(self, number: int, sites: Sequence[str], answers: Mapping[str, Answer]) -> bool:
        """Aggregate what was given, and write it down.

        Returns:
            Whether enough sites gave something; else nothing has changed.
        """
        good, missing = self._sorted(answers)
        for site, said in missing.items():
            tell(self._folder, "missing", round=number, site=site, **said)
        if len(good) < self.min_sites:
            tell(self._folder, "too_few", round=number, sites=sorted(good), needed=self.min_sites)
            return False
        if number > 1:
            self._judge({site: answer.values["validation"] for site, answer in good.items()})
        begun = time.monotonic()
        record = self._rounds.take(
            [
                Contribution(
                    Report(site, int(good[site].values["num_cases"]), _loss(good[site])),
                    good[site].models["update"],
                )
                for site in sites
                if site in good
            ]
        )
        record["missing"] = sorted(missing)
        for name in _TIMES:
            record[name] = {site: good[site].values[name] for site in good}
        record["aggregated_s"] = time.monotonic() - begun
        record["elapsed_s"] = time.monotonic() - self._begun
        self._save()
        tell(self._folder, "round", record=record)
        return True

    def hear_judgement(self, answers: Mapping[str, Answer]) -> None:
        """Hear how the last aggregate validated."""
        scores = {
            site: found["common"]
            for site, answer in answers.items()
            if "common" in (found := _scores_of(answer))
        }
        self._judge(scores)
        self._save()

    def finish(self, answers: Mapping[str, Answer]) -> None:
        """Write the cross-site table, and the best aggregate as a system."""
        by_site = {site: found for site, answer in answers.items() if (found := _scores_of(answer))}
        names = list(dict.fromkeys(name for scores in by_site.values() for name in scores))
        rows = [
            Row(
                self._order.system.title if name == "federation" else f"best weights of {name}",
                {site: scores[name] for site, scores in by_site.items() if name in scores},
            )
            for name in names
        ]
        system = exported_system(self._order.system)
        self._network.load_state_dict(self._rounds.best)
        self._network.eval()
        save_model(system, self._network, None, self._folder / WEIGHTS_FILE)
        replace_text(self._folder / TABLE_FILE, to_markdown(rows))
        write_json(self._folder / SYSTEM_FILE, system_to_json(system))
        found = {"best_round": self._rounds.best_round, "rows": to_json(rows)}
        # Last: a run with this file is finished.
        write_json(self._folder / RESULT_FILE, found)
        tell(self._folder, "result", best_round=self._rounds.best_round)

    def fail(self, error: IsletError) -> None:
        """Say what ended the rounds."""
        tell(self._folder, "alarm", text=f"{error.message} {error.remedy}")

    def _sorted(
        self, answers: Mapping[str, Answer]
    ) -> tuple[dict[str, Answer], dict[str, dict[str, str]]]:
        """Return the usable answers, and why the others are not."""
        good: dict[str, Answer] = {}
        missing: dict[str, dict[str, str]] = {}
        # FLARE keeps whoever was in a job in it to its end.
        sent_away = revoked_sites(self._folder.parents[1])
        for site, answer in answers.items():
            if site in sent_away:
                missing[site] = dict(_REVOKED)
                continue
            if answer.is_refusal:
                missing[site] = {
                    "message": str(answer.values["message"]),
                    "remedy": str(answer.values.get("remedy", "")),
                }
                continue
            try:
                _check(answer, self._rounds.model)
            except IsletError as error:
                missing[site] = {"message": error.message, "remedy": error.remedy}
            else:
                good[site] = answer
        return good, missing

    def _judge(self, scores: Mapping[str, Scores]) -> None:
        if not self._rounds.records or "validation" in self._rounds.records[-1]:
            return
        self._rounds.judge(scores)
        tell(self._folder, "round", record=self._rounds.records[-1])

    def _save(self) -> None:
        save_checkpoint({"rounds": self._rounds.content()}, self._file)
        lines = "".join(json.dumps(record) + "\n" for record in self._rounds.records)
        replace_text(self._folder / ROUNDS_FILE, lines)


def _loss(answer: Answer) -> float:
    return float(answer.values["loss"])


def _check(answer: Answer, model: Mapping[str, Tensor]) -> None:
    """Hold an answer against the model before it has a say.

    Raises:
        DamagedUpdateError: If it is not an update of this network, with a loss and cases.
    """
    check_fits(decode(answer.models.get("update", b"")), model)
    loss, num_cases = answer.values.get("loss"), answer.values.get("num_cases")
    if not isinstance(loss, int | float) or not isinstance(num_cases, int) or num_cases < 1:
        raise DamagedUpdateError("it says neither loss nor number of cases")
    if not isfinite(loss):
        raise DamagedUpdateError("its loss is not a number")
    if not all(isinstance(answer.values.get(name), int | float) for name in _TIMES):
        raise DamagedUpdateError("it does not say how long it took")
    if not _are_scores(answer.values.get("validation")):
        raise DamagedUpdateError("its validation is missing")


def _scores_of(answer: Answer) -> dict[str, Scores]:
    """Return a site's scores of every model; without those that make no sense."""
    found: Any = None if answer.is_refusal else answer.values.get("scores")
    if not isinstance(found, dict):
        return {}
    return {name: scores for name, scores in found.items() if _are_scores(scores)}


def _are_scores(found: object) -> bool:
    """Return whether it is by structure the numbers of at least one case."""
    return isinstance(found, dict) and all(
        isinstance(each, list) and each and all(isinstance(value, int | float) for value in each)
        for each in found.values()
    )
