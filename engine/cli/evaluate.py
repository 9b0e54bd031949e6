"""`islet evaluate`: how well a run or a system does on cases with reference labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.console import notes, results
from engine.cli.evaluation_report import REPORT_BYTES, Report, write_report
from engine.cli.evaluation_target import (
    NUM_FOLDS,
    EvaluationError,
    Split,
    Target,
    choose_cases,
    find_target,
)
from engine.cli.output import check_output_folder, complete_or_nothing
from engine.cli.progress import with_progress
from engine.errors import CancelledError, IsletError

if TYPE_CHECKING:
    from engine.case import Case
    from engine.data.datasets import Entry
    from engine.finding import Prediction
    from engine.inference.efficiency import Efficiency
    from engine.inference.model import Model
    from engine.progress import OnProgress


def evaluate(
    system: Annotated[
        str, typer.Argument(metavar="RUN|SYSTEM", help="Folder of a run, or name of a system.")
    ],
    data: Annotated[Path, typer.Option(help="Data set with reference labels.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; new or empty.")],
    fold: Annotated[
        int | None,
        typer.Option(help="Whose held-back cases; a run knows its own.", min=0, max=NUM_FOLDS - 1),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(help="'all' also evaluates a run on the cases it was trained on."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights file, instead of the run's or the shipped one.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Predict cases of a data set and compare with their reference labels.

    A run is evaluated on the cases it held back, where the data set is the one it was trained
    on. Writes evaluation.json, evaluation.md, cases.csv and pictures; every figure with its 95 %
    bootstrap interval, beside what others published.
    """
    from engine.evaluation.table import figures_markdown

    check_output_folder(out, needed_bytes=REPORT_BYTES)
    target = find_target(system, weights)
    report = with_progress(lambda tell: measure(target, data, fold, split, device, tell))
    with complete_or_nothing(out) as folder:
        write_report(report, folder)
    results.print(figures_markdown(report.evaluation), markup=False, highlight=False)
    for remark in (*report.remarks, *report.evaluation.alarms):
        notes.print(remark, markup=False, highlight=False)


def measure(
    target: Target,
    data: Path,
    fold: int | None,
    split: Split | None,
    device: str,
    tell: OnProgress,
) -> Report:
    """Predict the cases that are meant, and compare them.

    A case that cannot be read or analysed is left out and named in the remarks: one of two
    hundred must not cost the others.

    Raises:
        IsletError: If no case could be analysed, or what was asked for cannot be done.
        CancelledError: If `tell` raises it.
    """
    from engine.archive.registered import original_name
    from engine.data.dataset_check import check_dataset, usable_entries
    from engine.evaluation.compare import abilities_of
    from engine.evaluation.evaluate import evaluate as compare_all
    from engine.inference.model import load_model, weights_path

    checked = check_dataset(data, tell)
    cases = choose_cases(target, usable_entries(checked), data, fold=fold, split=split)
    model = load_model(target.system, device, target.weights)
    left_out = [f"Case {each.case_id} was left out. {each.message}" for each in checked.fatal]
    evaluation = compare_all(
        _pairs(cases.entries, model, left_out, tell), abilities=abilities_of(target.system)
    )
    return Report(
        evaluation=evaluation,
        costs=_costs(target, target.weights or weights_path(target.system)),
        device=f"{model.device}, {model.precision}",
        device_memory_bytes=_device_memory_bytes(model),
        remarks=(*cases.remarks, *left_out),
        trained_as=original_name(target.system.name),
    )


def _pairs(
    entries: tuple[Entry, ...], model: Model, left_out: list[str], tell: OnProgress
) -> Iterator[tuple[Case, Prediction]]:
    from engine.inference.predict import predict

    num_compared = 0
    for number, entry in enumerate(entries):
        tell("evaluate", number / len(entries))
        try:
            case = entry.read()
            pair = case, predict(case, model)
        except CancelledError:
            raise
        except IsletError as error:
            left_out.append(f"Case {entry.case_id} was left out. {error.message}")
            continue
        num_compared += 1
        yield pair
    tell("evaluate", 1.0)
    if not num_compared:
        none = f"None of the {len(entries)} cases could be analysed."
        said = "The only case could not be analysed." if len(entries) == 1 else none
        raise EvaluationError(
            f"{said} {left_out[-1]}",
            remedy="Check the data set, or choose another one.",
        )


def _costs(target: Target, weights: Path) -> tuple[Efficiency, ...]:
    from engine.inference.efficiency import measure_efficiency

    main, localiser = target.system, target.system.localiser
    costs = (measure_efficiency(main, weights),)
    return costs if localiser is None else (*costs, measure_efficiency(localiser))


def _device_memory_bytes(model: Model) -> int | None:
    import torch

    if model.device.type != "cuda":
        return None
    return int(torch.cuda.max_memory_allocated(model.device))
