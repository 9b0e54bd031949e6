"""Which lines a run's charts show, made from what the run told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from app import theme
from app.panels.training.chart import Line
from app.tasks.run_story import RunStory
from engine.archive.run_events import StepTold
from engine.archive.runs import score_of
from engine.run import EpochRecord

NAN = float("nan")
# ours: with fewer epochs than this a curve over epochs says nothing, and steps are shown
_MIN_EPOCHS = 3
_KNOWN_STRUCTURES = frozenset({"pancreas", "lesion"})

Figures = Callable[[EpochRecord], Mapping[str, float]]
X = Callable[[EpochRecord], float]


def epoch_number(record: EpochRecord) -> float:
    """Return the epoch, for an x axis."""
    return float(record.epoch)


def elapsed_min(record: EpochRecord) -> float:
    """Return the minutes of training so far, for an x axis."""
    return record.elapsed_s / 60


def loss_lines(story: RunStory, x: X = epoch_number) -> tuple[Line, ...]:
    """Return the training loss of each task; of single steps while epochs are few."""
    epochs = story.epochs
    if len(epochs) >= _MIN_EPOCHS or x is not epoch_number or not story.steps:
        return _by_name(epochs, lambda record: record.losses, x)
    steps = [step for step in story.steps if step.part == story.part]
    return _of_steps(steps, lambda step: step.losses)


def weight_lines(story: RunStory, x: X = epoch_number) -> tuple[Line, ...]:
    """Return the weight of each task, in the colour of its loss."""
    lines = _by_name(story.epochs, lambda record: record.weights, x)
    colours = {line.name: line.colour for line in loss_lines(story, x)}
    return tuple(
        Line(line.name, line.xs, line.ys, colours.get(line.name, line.colour)) for line in lines
    )


def dice_lines(story: RunStory, x: X = epoch_number) -> tuple[Line, ...]:
    """Return the validation Dice of each structure, in the colour of the structure."""
    return tuple(
        Line(name, line.xs, line.ys, _structure_colour(name, line.colour))
        for line in _by_name(story.epochs, lambda record: record.scores, x)
        if line.name.lower().startswith("dice")
        for name in [line.name[4:].strip() or "mean"]
    )


def other_score_lines(story: RunStory, x: X = epoch_number) -> tuple[Line, ...]:
    """Return every other validation figure."""
    lines = _by_name(story.epochs, lambda record: record.scores, x)
    return tuple(line for line in lines if not line.name.lower().startswith("dice"))


def figure_line(
    story: RunStory, name: str, value: Callable[[EpochRecord], float], x: X = epoch_number
) -> tuple[Line, ...]:
    """Return one figure of every epoch; nothing where it was never told."""
    points = [(x(record), value(record)) for record in story.epochs if value(record)]
    if not points:
        return ()
    xs, ys = zip(*points, strict=True)
    return (Line(name, xs, ys, theme.line_colour(0)),)


def metrics_of(stories: Sequence[RunStory]) -> tuple[str, ...]:
    """Return the names of what runs can be compared by: scores first, then losses."""
    scores: dict[str, None] = {}
    losses: dict[str, None] = {}
    for story in stories:
        for record in main_epochs(story):
            scores.update(dict.fromkeys(record.scores))
            losses.update(dict.fromkeys(f"loss {task}" for task in record.losses))
    return ("mean score", *scores, "total loss", *losses)


def metric_of(record: EpochRecord, name: str) -> float:
    """Return one of `metrics_of`; not a number where the epoch has none."""
    if name == "mean score":
        score = score_of(record)
        return NAN if score is None else score
    if name == "total loss":
        return sum(record.losses.values()) if record.losses else NAN
    if name.startswith("loss "):
        return record.losses.get(name.removeprefix("loss "), NAN)
    return record.scores.get(name, NAN)


def compared_lines(stories: Sequence[RunStory], name: str, x: X = epoch_number) -> tuple[Line, ...]:
    """Return one line for each run; its colour is that of its place among the runs."""
    lines = []
    for number, story in enumerate(stories):
        points = [(x(record), metric_of(record, name)) for record in main_epochs(story)]
        points = [(at, y) for at, y in points if y == y]
        if points:
            xs, ys = zip(*points, strict=True)
            dashed = number >= theme.NUM_LINE_COLOURS
            lines.append(Line(story.run_id, xs, ys, theme.line_colour(number), dashed))
    return tuple(lines)


def main_epochs(story: RunStory) -> tuple[EpochRecord, ...]:
    """Return the epochs of the main system, not those of its localiser."""
    return story.histories.get(story.system, ())


def _by_name(epochs: Sequence[EpochRecord], figures: Figures, x: X) -> tuple[Line, ...]:
    names = dict.fromkeys(name for record in epochs for name in figures(record))
    lines = []
    for number, name in enumerate(names):
        told = [record for record in epochs if name in figures(record)]
        xs, ys = tuple(x(r) for r in told), tuple(figures(r)[name] for r in told)
        lines.append(Line(name, xs, ys, theme.line_colour(number)))
    return tuple(lines)


def _of_steps(
    steps: Sequence[StepTold], figures: Callable[[StepTold], Mapping[str, float]]
) -> tuple[Line, ...]:
    names = dict.fromkeys(name for step in steps for name in figures(step))
    lines = []
    for number, name in enumerate(names):
        told = [step for step in steps if name in figures(step)]
        xs = tuple(step.epoch - 1 + step.step / max(step.steps, 1) for step in told)
        ys = tuple(figures(step)[name] for step in told)
        lines.append(Line(name, xs, ys, theme.line_colour(number)))
    return tuple(lines)


def _structure_colour(name: str, fallback: str) -> str:
    known = name.lower() in _KNOWN_STRUCTURES
    return theme.structure_colour(name).name() if known else fallback
