"""How many patches a training takes per second, and what each part of it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from engine.data.datasets import Entry
from engine.data.images import read_image, read_labels
from engine.data.label_names import NAMES
from engine.data.prepare import prepare, prepare_labels
from engine.data.store import StoredCase, read_store
from engine.errors import IsletError
from engine.run import Plan
from engine.system_json import plan_from_json, plan_to_json, system_from_json, system_to_json
from engine.training.distributed import ALONE, Group, joined
from engine.training.fit import Fitting, default_num_threads, fit
from engine.training.follow import Nobody, StepRecord
from engine.training.sample import Sample, Sampler
from engine.volume import LabelMap

WARM_UP_STEPS = 4
"""Steps that do not count: more than are loaded ahead, so that these patches are used up."""
_UNCHANGED = "none"


class SharedBenchmarkError(IsletError):
    """The processes of a shared training did not come through."""

    def __init__(self, num_processes: int) -> None:
        super().__init__(
            f"The training in {num_processes} processes ended unexpectedly.",
            remedy="It may have run out of memory; choose a smaller size.",
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One way of training whose speed is measured.

    Args:
        plan: What is trained.
        loading: Where patches come from, looked up in SAMPLERS.
    """

    plan: Plan
    loading: str = "store"


def samples_per_s(setting: Setting, store: Path, entries: Sequence[Entry], steps: int) -> float:
    """Train for `steps` steps after the warm-up, and return the patches trained per second.

    Loss, balancer, optimiser and moving average are those of a real training.

    Args:
        setting: With more than one device, that many processes are started.
        store: Holds the prepared cases.
        entries: The cases to train on.
        steps: That count.

    Raises:
        SharedBenchmarkError: If one of several processes fails.
    """
    if setting.plan.num_devices > 1:
        return _samples_per_s_shared(setting, store, entries, steps)
    cases = read_store(store, [entry.case_id for entry in entries])
    sampler = SAMPLERS[setting.loading](setting.plan, cases, entries)
    return _timed(setting.plan, sampler, steps, ALONE)


def without_changes(plan: Plan) -> Plan:
    """Return `plan` with its patches trained as they are drawn."""
    return replace(plan, augment_on=_UNCHANGED)


class _KeptSampler(Sampler):
    """Draws the patches of one batch once and gives them again and again."""

    def __init__(self, plan: Plan, cases: Sequence[StoredCase]) -> None:
        super().__init__(plan, cases)
        self._kept = [super(_KeptSampler, self).draw(0, n) for n in range(plan.batch_size)]

    def draw(self, step: int, number: int) -> Sample:
        """Return patch `number` of the kept batch."""
        return self._kept[number]


@dataclass(frozen=True, slots=True, eq=False)
class _Unprepared:
    """Voxels that are read from the data set and prepared for every patch of them."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    prepared: Callable[[], np.ndarray]

    def __getitem__(self, key: Any) -> np.ndarray:
        return self.prepared()[key]


def _from_store(plan: Plan, cases: Sequence[StoredCase], entries: Sequence[Entry]) -> Sampler:
    return Sampler(plan, cases)


def _kept(plan: Plan, cases: Sequence[StoredCase], entries: Sequence[Entry]) -> Sampler:
    return _KeptSampler(plan, cases)


def _from_images(plan: Plan, cases: Sequence[StoredCase], entries: Sequence[Entry]) -> Sampler:
    pairs = zip(cases, entries, strict=True)
    return Sampler(plan, [_unprepared(plan, case, entry) for case, entry in pairs])


SAMPLERS: dict[str, Callable[[Plan, Sequence[StoredCase], Sequence[Entry]], Sampler]] = {
    "store": _from_store,
    "kept": _kept,
    "images": _from_images,
}
"""Where patches come from: the store; one batch that is kept, i.e. no loading; or the data set's
own files, read and prepared for every patch."""


def _unprepared(plan: Plan, case: StoredCase, entry: Entry) -> StoredCase:
    preparation, num_structures = plan.system.preparation, len(plan.system.structures)

    def image() -> np.ndarray:
        return prepare(read_image(entry.image), preparation).image.astype(np.float16)

    def labels() -> np.ndarray:
        known = read_labels(entry.labels, NAMES)
        merged = LabelMap(np.minimum(known.labels, num_structures), {}, known.geometry)
        return prepare_labels(merged, preparation.spacing_mm, num_structures + 1)

    return replace(
        case,
        image=cast("Any", _Unprepared(case.image.shape, np.dtype(np.float16), image)),
        labels=cast("Any", _Unprepared(case.labels.shape, np.dtype(np.uint8), labels)),
    )


class _Clock(Nobody):
    """Says how long the steps after the warm-up took."""

    def __init__(self) -> None:
        self.started = self.ended = 0.0

    def on_step(self, record: StepRecord) -> None:
        """Note the time, after the warm-up and now."""
        self.ended = time.perf_counter()
        if record.step == WARM_UP_STEPS:
            self.started = self.ended


def _timed(plan: Plan, sampler: Sampler, steps: int, group: Group) -> float:
    training = replace(plan.system.training, epochs=1, steps_per_epoch=WARM_UP_STEPS + steps)
    plan = replace(plan, system=replace(plan.system, training=training))
    clock = _Clock()
    with TemporaryDirectory() as folder:
        fit(
            Fitting(
                plan=plan,
                sampler=sampler,
                checkpoint=Path(folder) / f"{group.rank}.pt",
                follower=clock,
                group=group,
                num_threads=default_num_threads(),
            )
        )
    return steps * plan.batch_size / (clock.ended - clock.started) if group.is_first else 0.0


def _samples_per_s_shared(
    setting: Setting, store: Path, entries: Sequence[Entry], steps: int
) -> float:
    plan = setting.plan
    order = {
        "system": system_to_json(plan.system),
        "plan": plan_to_json(plan),
        "store": str(store),
        "cases": [entry.case_id for entry in entries],
        "steps": steps,
    }
    # torchrun would give each process a single thread.
    threads = max(1, (os.cpu_count() or 1) // plan.num_devices)
    with TemporaryDirectory() as folder:
        told, answer = Path(folder) / "order.json", Path(folder) / "answer.json"
        told.write_text(json.dumps(order), encoding="utf-8")
        done = subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc-per-node", str(plan.num_devices), "-m", __name__, str(told), str(answer),
            ],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        if done.returncode or not answer.exists():
            raise SharedBenchmarkError(plan.num_devices)
        return float(json.loads(answer.read_text(encoding="utf-8")))


def _take_part(told: Path, answer: Path) -> None:
    """Train as one of the processes that torchrun started; the first writes the answer."""
    order = json.loads(told.read_text(encoding="utf-8"))
    plan = plan_from_json(order["plan"], system_from_json(order["system"]))
    with joined(plan.device) as (group, device):
        plan = replace(plan, device=device)
        sampler = Sampler(plan, read_store(Path(order["store"]), order["cases"]))
        speed = _timed(plan, sampler, order["steps"], group)
        if group.is_first:
            answer.write_text(json.dumps(speed), encoding="utf-8")


if __name__ == "__main__":
    _take_part(Path(sys.argv[1]), Path(sys.argv[2]))
