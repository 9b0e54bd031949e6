"""`islet prepare`: make a data set's cases ready for training, once and side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from engine.cli.check_data import problem_table, say_summary
from engine.cli.console import notes, results
from engine.cli.progress import with_progress

if TYPE_CHECKING:
    from engine.data.fingerprint import Fingerprint
    from engine.progress import OnProgress
    from engine.system import System

_KEPT = "Cancelled. The cases that are ready are kept; the same command goes on from there."


def prepare(
    data: Annotated[Path, typer.Option(help="Data set: nnU-Net raw or Decathlon layout.")],
    system: Annotated[str, typer.Option(help="For which system; see 'islet systems'.")] = "starter",
    size: Annotated[str, typer.Option(help="toy, small or full.")] = "full",
    out: Annotated[
        Path | None, typer.Option(help="The store; without it, where training looks for it.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; without it, as many as the machine takes.", min=1)
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave broken cases out instead of refusing.")
    ] = False,
) -> None:
    """Check a data set, prepare its cases for a system, and say what the data set is like.

    What is ready is not prepared again, so an interrupted run goes on where it was.
    """
    from engine.archive.registered import find_system

    chosen = find_system(system).at(size)
    parts = [chosen] if chosen.localiser is None else [chosen.localiser, chosen]
    stores = tuple(_store(data, part, chosen, out) for part in parts)
    job = _Job(data, tuple(parts), stores, workers, skip_broken)
    found, num_prepared = with_progress(job.run, cancelled=_KEPT)
    results.print(_table(found))
    for part, store, num in zip(parts, stores, num_prepared, strict=True):
        cases = "1 case" if found.num_cases == 1 else f"{found.num_cases} cases"
        amount = f"{num} of {cases} prepared"
        notes.print(f"{part.name}: {amount}; the store is {store}", soft_wrap=True, highlight=False)


def _store(data: Path, part: System, whole: System, out: Path | None) -> Path:
    from engine.data.prepare_store import default_store

    if out is None:
        return default_store(data, part.preparation, part.structures)
    return out if part is whole else out / part.name


@dataclass(frozen=True, slots=True)
class _Job:
    data: Path
    parts: tuple[System, ...]
    stores: tuple[Path, ...]
    workers: int | None
    skip_broken: bool

    def run(self, tell: OnProgress) -> tuple[Fingerprint, tuple[int, ...]]:
        """Check, then prepare for every part."""
        from engine.data.dataset_check import check_dataset, usable_entries, whole_entries
        from engine.data.fingerprint import fingerprint
        from engine.data.prepare_store import prepare_store
        from engine.data.side_by_side import usual_workers

        report = check_dataset(self.data, tell)
        say_summary(report)
        remarks = tuple(problem for problem in report.problems if not problem.is_fatal)
        if remarks:
            notes.print(problem_table(remarks))
        entries = usable_entries(report) if self.skip_broken else whole_entries(report)
        num_prepared = [
            prepare_store(
                entries,
                part.preparation,
                part.structures,
                store,
                workers=self.workers or usual_workers(),
                on_progress=lambda _, done, name=part.name: tell(f"prepare {name}", done),
            )
            for part, store in zip(self.parts, self.stores, strict=True)
        ]
        return fingerprint(report), tuple(num_prepared)


def _table(found: Fingerprint) -> Table:
    """Return what a reader wants to know of a data set; percentiles are 0, 50 and 100."""
    table = Table("Of the data set", "Lowest", "Median", "Highest")
    axes = ("slices", "rows", "columns")
    for axis, name in enumerate(axes):
        low, _, mid, _, high = (f"{each[axis]:.2f}" for each in found.spacing_mm)
        table.add_row(f"Spacing of {name} (mm)", low, mid, high)
    for axis, name in enumerate(axes):
        low, _, mid, _, high = (f"{each[axis]:.0f}" for each in found.shape)
        table.add_row(f"Number of {name}", low, mid, high)
    if found.lesion_mm3:
        low, _, mid, _, high = (f"{each / 1000:.2f}" for each in found.lesion_mm3)
        table.add_row("Lesion (mL)", low, mid, high)
    low, high = (f"{each:.0f}" for each in found.hu_window)
    table.add_row("Labelled tissue (HU), 0.5 to 99.5 %", low, f"{found.hu_mean:.0f} (mean)", high)
    for name, counts in (("Lesions", found.num_lesions), ("Subtype", found.subtypes)):
        text = ", ".join(f"{kind}: {count}" for kind, count in counts)
        table.add_row(f"{name} (cases)", "", text, "")
    spacing = " x ".join(f"{each:.2f}" for each in found.planned_spacing_mm)
    shape = " x ".join(str(each) for each in found.planned_shape)
    table.add_row("nnU-Net's own plan", "", f"{spacing} mm", shape)
    return table
