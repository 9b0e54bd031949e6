"""`islet train`: fit a system to a data set."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from engine.cli.console import CANCELLED_CODE, ERROR_CODE, notes, say_error, say_json, say_unused
from engine.cli.train_bars import TrainingBars
from engine.errors import CancelledError, IsletError

if TYPE_CHECKING:
    from engine.system import System
    from engine.training.train import Order

Size = Literal["toy", "small", "full"]
_ALL = "all"
_LOOK_S = 0.1


class FoldError(IsletError):
    """A fold that there is not."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"There is no fold '{text}'.",
            remedy="Give a number from 0 to 4, or 'all' to train on every case.",
        )


class NothingToFinishError(IsletError):
    """A new run that is to end before it begins."""

    def __init__(self) -> None:
        super().__init__(
            "Only a run that was begun can be finished early.",
            remedy="Give --resume beside --finish, and the run's folder.",
        )


class OtherRunError(IsletError):
    """A run's folder that holds the training of another system."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The run in this folder trains the system '{name}'.",
            remedy="Name that system to go on with it, or another folder with --run.",
        )


def train(
    system: Annotated[str, typer.Argument(help="Name of the system; see 'islet systems'.")],
    data: Annotated[Path, typer.Option(help="Data set: nnU-Net raw or MSD layout.")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")],
    size: Annotated[Size, typer.Option(help="full is the system as its source has it.")] = "full",
    fold: Annotated[
        str, typer.Option(help="Fold held back for validation, 0 to 4; 'all' holds none back.")
    ] = "0",
    epochs: Annotated[
        int | None, typer.Option(help="Instead of the system's own number.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.", min=0)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    devices: Annotated[
        int, typer.Option(help="Processes that share every batch, on the CPU or a GPU each.", min=1)
    ] = 1,
    batch_size: Annotated[
        int | None, typer.Option(help="Patches per step, instead of the system's own.", min=1)
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Of the forward passes.")
    ] = "auto",
    augment_on: Annotated[
        Literal["auto", "device", "cpu"],
        typer.Option(help="Change patches where the network trains, or in loading threads."),
    ] = "auto",
    head: Annotated[
        Literal["own", "staged", "paper"],
        typer.Option(help="Subtype head: the system's own, fitted afterwards, or trained jointly."),
    ] = "own",
    plan: Annotated[
        Literal["own", "data"],
        typer.Option(help="Grid and patch as the system has them, or as data and memory suggest."),
    ] = "own",
    store: Annotated[
        Path | None, typer.Option(help="Folder of prepared cases; see 'islet prepare'.")
    ] = None,
    shipped_localiser: Annotated[
        bool,
        typer.Option("--shipped-localiser", help="Find the pancreas with the one Islet brings."),
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Train without the broken cases.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
    finish: Annotated[
        bool,
        typer.Option("--finish", help="With --resume: train no further, and keep these weights."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say, as JSON, what memory it would take.")
    ] = False,
) -> None:
    """Train SYSTEM on a data set.

    Everything goes into the folder of the run: plan, events, checkpoints, weights. Ctrl+C stops
    after the current step, with a checkpoint; pressed again, it leaves at once.
    """
    args = {
        "system": system, "size": size, "fold": fold, "epochs": epochs, "seed": seed,
        "device": device, "devices": devices, "batch_size": batch_size, "precision": precision,
        "augment_on": augment_on, "head": head, "plan": plan,
        "shipped_localiser": shipped_localiser,
        "store": None if store is None else str(store.absolute()), "skip_broken": skip_broken,
    }  # fmt: skip
    if finish and not (resume and _is_begun(run)):
        raise NothingToFinishError
    if resume:
        args, data = _as_begun(args, data, run)
    order = replace(_order(args, data, run), ends_here=finish)
    if args["plan"] == "data":
        order = _fitted(order)
    if dry_run:
        _rehearse(order)
        return
    _conduct(order, args, resume=resume)


def _fitted(order: Order) -> Order:
    """Return the order with its system fitted to the data set and this machine."""
    from engine.archive.runs import read_run
    from engine.data.dataset_check import check_dataset
    from engine.data.fingerprint import fingerprint
    from engine.training.plan import fit_to_data
    from engine.training.train import plans

    if _is_begun(order.folder):
        # Begun before: the memory that is free now must not change what is trained.
        return replace(order, system=read_run(order.folder).plan.system)
    plan = plans(order)[-1]  # First: it refuses what no data set could help.
    system = fit_to_data(order.system, fingerprint(check_dataset(order.data)), plan)
    return replace(order, system=system)


def _is_begun(run: Path) -> bool:
    from engine.archive.run_folder import RUN_FILE

    return (run / RUN_FILE).exists()


def _as_begun(args: dict[str, Any], data: Path, run: Path) -> tuple[dict[str, Any], Path]:
    """Return what the run in the folder was begun with; what is given where there is none yet."""
    from engine.archive.run_folder import read_run_file

    if not _is_begun(run):
        return args, data
    begun = read_run_file(run)
    if begun["args"].get("system") != args["system"]:
        raise OtherRunError(str(begun["args"].get("system")))
    say_unused(_ignored(args, begun["args"]))
    return {**args, **begun["args"]}, Path(begun["data"])


def _ignored(args: dict[str, Any], begun: dict[str, Any]) -> list[str]:
    """Return the options that were given, and differ from those of the run."""
    defaults = inspect.signature(train).parameters
    return [
        name
        for name, value in args.items()
        if name in begun and value != begun[name] and value != defaults[name].default
    ]


def _order(args: dict[str, Any], data: Path, run: Path) -> Order:
    # Not at the top: `islet --help` must not wait for torch.
    from engine.archive.registered import find_system
    from engine.training.train import Order

    store = args["store"]
    return Order(
        system=_sized(find_system(args["system"]), args["size"], args["epochs"], args["head"]),
        data=data,
        folder=run,
        size=args["size"],
        seed=args["seed"],
        fold=_fold(args["fold"]),
        device=args["device"],
        num_devices=args["devices"],
        precision=args["precision"],
        augment_on=args["augment_on"],
        store=None if store is None else Path(store),
        skip_broken=args["skip_broken"],
        batch_size=args["batch_size"],
        own_localiser=not args["shipped_localiser"],
    )


def _rehearse(order: Order) -> None:
    from engine.training.train import rehearse

    say_json(
        [
            {
                "system": run.plan.system.name,
                "parameters": run.num_parameters,
                "needed_bytes": run.needed_bytes,
                "free_bytes": run.free_bytes,
                "accumulation": run.plan.accumulation,
                "text": run.text,
            }
            for run in rehearse(order)
        ]
    )


def _conduct(order: Order, args: dict[str, Any], *, resume: bool) -> None:
    from engine.training.conduct import conduct
    from engine.training.distributed import is_member
    from engine.training.train import plans

    if order.num_devices > 1 and not is_member():
        plans(order)  # Refuses what cannot be, before torchrun talks of it.
        _follow(_start_processes(order.num_devices), order)
        return
    with TrainingBars() as bars:
        try:
            weights = conduct(order, args, resume=resume, follower=bars)
        except IsletError as error:
            if not is_member():
                raise
            # torchrun prints a traceback for whatever leaves a process in another way.
            bars.stop()
            if not bars.speaks:
                sys.exit(0)  # What happened is the first process's to tell.
            say_error(error)
            sys.exit(0 if isinstance(error, CancelledError) else ERROR_CODE)
    if bars.speaks:
        notes.print(f"The weights are in {weights.name} of the run's folder.")


def _start_processes(num_devices: int) -> subprocess.Popen[bytes]:
    """Start this very command again, once for every device, through torchrun."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        # After the dashes, or torchrun takes our options for abbreviations of its own.
        "--nproc-per-node", str(num_devices), "-m", "--", "engine.cli", *sys.argv[1:],
    ]  # fmt: skip
    # A session of its own: to Ctrl+C torchrun answers with a traceback and half a minute's grace.
    return subprocess.Popen(command, start_new_session=True)


def _follow(process: subprocess.Popen[bytes], order: Order) -> None:
    """Wait for torchrun, hand Ctrl+C on, and leave as its processes ended."""
    from engine.archive.run_folder import read_run_file
    from engine.run import RunState
    from engine.training.distributed import ProcessesEndedError

    _wait_for(process, order.folder)
    known = _is_begun(order.folder)
    state = RunState(read_run_file(order.folder)["state"]) if known else RunState.FAILED
    if state is RunState.FINISHED:
        # Whatever torchrun says: a process was seen to abort on its way out, its work done.
        return
    if state in (RunState.STOPPED, RunState.FAILED):
        # The first process has said why.
        raise typer.Exit(CANCELLED_CODE if state is RunState.STOPPED else ERROR_CODE)
    raise ProcessesEndedError(order.num_devices)


def _wait_for(process: subprocess.Popen[bytes], folder: Path) -> None:
    num_asked = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal num_asked
        num_asked += 1
        if num_asked == 1:
            notes.print("Stopping after this step; press Ctrl+C again to leave at once.")

    # Set by hand: whoever starts Islet in the background may have had Ctrl+C ignored.
    former = [signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)]
    while process.poll() is None:
        if num_asked == 1:
            _ask_to_stop(folder)
        elif num_asked > 1:
            _kill(process)
            raise typer.Exit(CANCELLED_CODE)
        time.sleep(_LOOK_S)
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), former, strict=True):
        signal.signal(number, handler)


def _ask_to_stop(folder: Path) -> None:
    """Ask again and again: a run that is just beginning forgets what was asked before."""
    from engine.archive.run_folder import RunFolder, write_wish

    if _is_begun(folder) and RunFolder(folder).wanted() != "stop":
        write_wish(folder, "stop")


def _kill(process: subprocess.Popen[bytes]) -> None:
    import psutil

    # Each of torchrun's processes has a session of its own, so no signal reaches them all.
    for member in psutil.Process(process.pid).children(recursive=True):
        member.kill()
    process.kill()
    process.wait()


def _sized(system: System, size: str, epochs: int | None, head: str) -> System:
    from engine.catalogue.variants import with_epochs, with_subtype_head

    sized = system.at(size)
    if head != "own":
        sized = with_subtype_head(sized, head)
    return sized if epochs is None else with_epochs(sized, epochs)


def _fold(text: str) -> int | None:
    from engine.training.train import NUM_FOLDS

    if text == _ALL:
        return None
    if not text.isdecimal() or int(text) >= NUM_FOLDS:
        raise FoldError(text)
    return int(text)
