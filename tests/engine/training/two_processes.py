"""Started by torchrun: train balls for some steps and write the weights down."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from engine.training.distributed import joined
from engine.training.fit import Fitting, fit
from engine.training.sample import Sampler
from tests.engine.training.balls import CASES, ball_plan

if __name__ == "__main__":
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    with joined("cpu") as (group, device):
        plan = replace(ball_plan(epochs, batch_size=4), device=device, num_devices=group.size)
        sampler = Sampler(plan, CASES)
        network = fit(Fitting(plan, sampler, folder / "state.pt", group=group))
        if group.is_first:
            torch.save(network.state_dict(), folder / "weights.pt")
