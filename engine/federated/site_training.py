"""Train and judge for one site in a process of its own, which may be killed at any moment.

The process reads one JSON object a line from its standard input, and answers each with one line on
its standard output: what came of it, or {"message", "remedy"}. Models and updates are files. What
happens meanwhile is told in the site's events.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.archive.federation import (
    RUNS_FOLDER,
    SENT_FILE,
    now,
    read_site,
    tell,
)
from engine.archive.run_folder import append_line
from engine.errors import IsletError
from engine.federated.aggregate import difference
from engine.federated.local import score
from engine.federated.members import Member, first_network, open_member
from engine.federated.sharing import decode, dense_bytes, encode, share, share_with_memory
from engine.federated.site_order import SiteOrder, order_from_json
from engine.federated.sites import Site
from engine.federated.step_teller import StepTeller
from engine.inference.memory import is_out_of_memory
from engine.training.checkpoint import load_checkpoint, save_checkpoint

log = logging.getLogger(__name__)

_OWN_FILE = "best_local.pt"


class NoDataError(IsletError):
    """A site that does not say where its cases are."""

    def __init__(self) -> None:
        super().__init__(
            "This site has no data set yet.",
            remedy="Name one with 'islet federate start SITE --data FOLDER'.",
        )


class OutOfMemoryError(IsletError):
    """A site whose memory did not suffice."""

    def __init__(self) -> None:
        super().__init__(
            "The site ran out of memory while it trained.",
            remedy="Close other programs there; the round goes on where it was when asked again.",
        )


class FilesError(IsletError):
    """A site that cannot write its files."""

    def __init__(self) -> None:
        super().__init__(
            "The site cannot write its files.",
            remedy="Look whether its disk is full; what it had saved is kept.",
        )


class SiteTraining:
    """Does what a site is asked in one run.

    Args:
        folder: The site's.
        order: What the run is.
    """

    def __init__(self, folder: Path, order: SiteOrder) -> None:
        self._folder = folder
        self._order = order
        self._run = folder / RUNS_FOLDER / order.run
        self._run.mkdir(parents=True, exist_ok=True)
        self._site = read_site(folder)
        self._member = self._opened()
        self._network = first_network(order.system, size=order.size, seed=order.seed)
        self._network.to(torch.device(self._member.plan.device))

    def train(self, round_number: int, model: Path, update: Path) -> dict[str, Any]:
        """Validate the common model, train from it, and write what is shared to `update`.

        Returns:
            "validation", by structure the Dice of every case; "loss", "num_cases", "training_s",
            and "seconds" of everything that was done here.
        """
        begun = time.monotonic()
        common = decode(model.read_bytes())
        scores = self._judged(common, "validate") if round_number > 1 else {}
        if scores:
            told = {name: sum(each) / len(each) for name, each in scores.items()}
            tell(
                self._folder, "validation", run=self._order.run, round=round_number - 1, scores=told
            )
        follower = StepTeller(self._folder, self._order, round_number)
        training_begun = time.monotonic()
        trained, loss = self._member.trainer.train_round(common, round_number, follower)
        training_s = time.monotonic() - training_begun
        tell(
            self._folder,
            "trained",
            run=self._order.run,
            round=round_number,
            loss=loss,
            seconds=training_s,
        )
        self._keep_own(trained, round_number)
        self._share(difference(trained, common), round_number, update)
        return {
            "loss": loss,
            "num_cases": self._member.num_cases,
            "validation": scores,
            "training_s": training_s,
            "seconds": time.monotonic() - begun,
        }

    def judge(self, models: Mapping[str, Path], cases: str) -> dict[str, Any]:
        """Return the scores of every model on this site's cases.

        Args:
            models: By name.
            cases: "validate" or "test".
        """
        return {
            name: self._judged(decode(path.read_bytes()), cases) for name, path in models.items()
        }

    def own(self, update: Path) -> dict[str, Any]:
        """Write the weights that validated best here after training, which the table asks for.

        They are all of the weights: a site that has set a limit does not give them away.
        """
        path = self._run / _OWN_FILE
        if self._site.share_at_most < 1 or not path.exists():
            return {"is_there": False}
        content = load_checkpoint(path, self._order.system.name)
        encoded = encode(content["model"])
        update.write_bytes(encoded)
        tell(
            self._folder,
            "sent_own",
            run=self._order.run,
            round=content["round"],
            bytes=len(encoded),
            tensors=len(content["model"]),
        )
        return {"is_there": True}

    def _opened(self) -> Member:
        if not self._site.data:
            raise NoDataError
        site = Site(self._site.name, Path(self._site.data), self._site.annotation)
        return open_member(
            site,
            self._order.system,
            size=self._order.size,
            seed=self._order.seed,
            device=self._site.device,
            store=self._folder / "store",
            checkpoint=self._run / "checkpoint.pt",
            on_progress=self._on_progress,
        )

    def _on_progress(self, stage: str, fraction: float) -> None:
        tell(self._folder, "progress", run=self._order.run, stage=stage, fraction=fraction)

    def _judged(self, model: Mapping[str, Tensor], cases: str) -> dict[str, list[float]]:
        self._network.load_state_dict(dict(model))
        self._network.eval()
        chosen = self._member.validate if cases == "validate" else self._member.test
        return score(self._network, self._member.plan, chosen)

    def _keep_own(self, trained: Mapping[str, Tensor], round_number: int) -> None:
        scores = self._judged(trained, "validate")
        value = [sum(each) / len(each) for each in scores.values()]
        reached = sum(value) / len(value) if value else -1.0
        path = self._run / _OWN_FILE
        known = load_checkpoint(path, self._order.system.name) if path.exists() else None
        if known is None or reached > known["score"]:
            content = {"model": dict(trained), "score": reached, "round": round_number}
            save_checkpoint(content, path)

    def _share(self, update: Mapping[str, Tensor], round_number: int, path: Path) -> None:
        """Write what leaves the site, never more of it than the site allows, and note it."""
        federation = self._order.system.federation
        assert federation is not None, "it is a federation's"
        fraction = min(federation.shared_fraction, self._site.share_at_most)
        if self._order.remembers_unsent:
            content = encode(self._remembering(update, fraction, round_number))
        else:
            content = encode(share(update, fraction))
        path.write_bytes(content)
        total = sum(tensor.numel() for tensor in update.values())
        noted = {
            "round": round_number,
            "when": now(),
            "bytes": len(content),
            "dense_bytes": dense_bytes(update),
            "fraction": fraction,
            "tensors": len(update),
            "of": total,
        }
        append_line(self._run / SENT_FILE, noted)
        tell(self._folder, "sent", run=self._order.run, **noted)

    def _remembering(
        self, update: Mapping[str, Tensor], fraction: float, round_number: int
    ) -> dict[str, Tensor]:
        # By round, so that one that is trained again finds what it found the first time.
        before = self._run / f"unsent-{round_number - 1}.pt"
        unsent = load_checkpoint(before, "")["unsent"] if before.exists() else {}
        shared, rest = share_with_memory(update, fraction, unsent)
        save_checkpoint({"unsent": rest}, self._run / f"unsent-{round_number}.pt")
        (self._run / f"unsent-{round_number - 2}.pt").unlink(missing_ok=True)
        return shared


def main() -> None:
    """Answer what is asked on the standard input until it ends."""
    # What libraries print must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    training: SiteTraining | None = None
    for line in _lines():
        try:
            asked = json.loads(line)
            if asked["do"] == "begin":
                training = SiteTraining(Path(asked["folder"]), order_from_json(asked["order"]))
                answer: dict[str, Any] = {"is_ready": True}
            else:
                assert training is not None, "it begins with begin"
                answer = _answer(training, asked)
        except IsletError as error:
            answer = _refusal(error)
        except OSError as error:
            log.warning("A file could not be used: %s", error.strerror)
            answer = _refusal(FilesError())
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            answer = _refusal(OutOfMemoryError())
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _lines() -> Iterator[str]:
    """Yield what is asked; end this process at once, in the middle of a round, if nobody asks.

    Whoever asked may have been killed, and its successor begins another process: two would train
    on one checkpoint.
    """
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while True:
        yield lines.get()


def _listen(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _answer(training: SiteTraining, asked: Mapping[str, Any]) -> dict[str, Any]:
    if asked["do"] == "prepare":
        return {"is_ready": True}  # and all of it was done before the first question
    if asked["do"] == "train":
        return training.train(asked["round"], Path(asked["model"]), Path(asked["update"]))
    if asked["do"] == "own":
        return training.own(Path(asked["update"]))
    models = {name: Path(path) for name, path in asked["models"].items()}
    return {"scores": training.judge(models, asked["cases"])}


def _refusal(error: IsletError) -> dict[str, Any]:
    return {"message": error.message, "remedy": error.remedy}


if __name__ == "__main__":
    main()
