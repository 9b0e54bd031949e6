"""Processes that share a batch end at the weights of one that has it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from engine.training.distributed import ALONE, Group
from engine.training.fit import Fitting, fit
from engine.training.sample import Sampler
from tests.engine.training.balls import CASES, ball_plan


def _torchrun(num_processes: int, folder: Path) -> dict[str, torch.Tensor]:
    folder.mkdir()
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(num_processes), "-m", "tests.engine.training.two_processes", str(folder), "2",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "weights.pt", weights_only=True)


def test_two_processes_end_at_the_weights_of_one(tmp_path: Path) -> None:
    plan = ball_plan(2, batch_size=4)
    alone = fit(Fitting(plan, Sampler(plan, CASES), tmp_path / "alone.pt")).state_dict()
    shared = _torchrun(2, tmp_path / "shared")
    start = fit(
        Fitting(ball_plan(0, batch_size=4), Sampler(plan, CASES), tmp_path / "start.pt")
    ).state_dict()
    for name, tensor in alone.items():
        assert torch.allclose(tensor, shared[name], atol=1e-5), name
    # Something must have been learnt, or the comparison would say nothing.
    assert any(not torch.allclose(alone[name], start[name], atol=1e-3) for name in alone)


def test_every_sample_of_a_batch_belongs_to_one_process() -> None:
    shares = [Group(rank, 3).share(7) for rank in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(7))


def test_alone_there_is_nobody_to_ask() -> None:
    value = torch.tensor([1.0, 2.0])
    assert ALONE.average(value) is value
    assert ALONE.agree(3) == 3
    parameter = torch.nn.Parameter(torch.zeros(2))
    ALONE.average_gradients([parameter])
    assert parameter.grad is None
