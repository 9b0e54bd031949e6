"""`islet train`: fit a system to a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from engine.catalogue import SYSTEMS
from engine.cli.console import notes

if TYPE_CHECKING:
    from engine.run import EpochRecord
    from engine.system import System


def train(
    system: Annotated[str, typer.Argument(help="Name of the system; see 'islet systems'.")],
    data: Annotated[Path, typer.Option(help="Data set: nnU-Net raw layout with subtypes.csv.")],
    run: Annotated[Path, typer.Option(help="Folder of the run; an interrupted one goes on.")],
    seed: Annotated[int, typer.Option(help="Of every random choice.", min=0)] = 1,
    epochs: Annotated[
        int | None, typer.Option(help="Instead of the system's own number.", min=1)
    ] = None,
) -> None:
    """Train SYSTEM on a data set and write its weights into the run's folder."""
    chosen = SYSTEMS.get(system)
    if epochs is not None:
        chosen = _with_epochs(chosen, epochs)
    # Not at the top: `islet --help` must not wait for torch.
    from engine.training.train import train_system

    with _bars() as bars:
        follower = _Follower(bars, chosen)
        weights = train_system(
            chosen,
            data,
            run,
            seed=seed,
            on_epoch=follower.on_epoch,
            on_progress=follower.on_progress,
        )
    notes.print(f"The weights are in {weights.name} of the run's folder.")


class _Follower:
    """Shows one bar per stage, and the loss of the last epoch."""

    def __init__(self, bars: Progress, system: System) -> None:
        self._bars = bars
        parts = [system] if system.localiser is None else [system.localiser, system]
        self._epochs = {part.name: part.training.epochs for part in parts}
        self._tasks = {}

    def on_epoch(self, system: str, record: EpochRecord) -> None:
        """Show a finished epoch."""
        task = self._task(system, self._epochs[system])
        losses = ", ".join(f"{name} {value:.3f}" for name, value in record.losses.items())
        self._bars.update(task, completed=record.epoch, description=f"{system}: {losses}")

    def on_progress(self, stage: str, fraction: float) -> None:
        """Show how far a stage without epochs is."""
        self._bars.update(self._task(stage, 100), completed=round(100 * fraction))

    def _task(self, name: str, total: int):  # noqa: ANN202 - rich's TaskID
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        return self._tasks[name]


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=notes,
    )


def _with_epochs(system: System, epochs: int) -> System:
    training = replace(system.training, epochs=epochs)
    localiser = None if system.localiser is None else _with_epochs(system.localiser, epochs)
    return replace(system, training=training, localiser=localiser)
