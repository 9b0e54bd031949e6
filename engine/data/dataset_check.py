"""Find every broken case of a data set before anything is trained on it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from engine.data.case_facts import CaseFacts, facts_from_json, measure
from engine.data.datasets import Entry, Listing, describe, list_entries, repeated_cases, subtype_of
from engine.data.images import LABEL_TOLERANCE
from engine.data.label_names import NAMES
from engine.data.plausibility import MAX_SPACING_MM
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress

_VERSION = 1
_MIN_SPACING_MM = 0.1  # ours: no CT is finer
_USUAL_SUBTYPES = 3
_MAX_THREADS = 8  # ours: each holds one CT
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set.

    Args:
        case_id: The case; empty where it is about the whole data set.
        kind: A few words that are the same for problems of one kind.
        message: What is wrong, as a finished sentence.
        is_fatal: Whether nothing can be trained on this case.
    """

    case_id: str
    kind: str
    message: str
    is_fatal: bool = True


class BrokenDatasetError(IsletError):
    """A data set with cases that nothing can be trained on."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        cases = list(dict.fromkeys(problem.case_id for problem in problems))
        listed = [f"{problem.case_id}: {problem.message}" for problem in problems[:_MAX_LISTED]]
        if len(problems) > _MAX_LISTED:
            listed.append(f"And {len(problems) - _MAX_LISTED} more problems.")
        amount = "One case is broken." if len(cases) == 1 else f"{len(cases)} cases are broken."
        super().__init__(
            "\n".join((amount, *listed)),
            remedy="Put them right, or leave them out with --skip-broken; "
            "'islet check' lists them all.",
        )


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What a check of a data set found.

    Args:
        entries: Every case that the data set lists.
        facts: By case, what is in its files.
        problems: In the order of the cases; those of the whole data set first.
        num_rounded: Label files whose values are whole numbers only to within 0.001.
    """

    entries: tuple[Entry, ...]
    facts: Mapping[str, CaseFacts]
    problems: tuple[Problem, ...]
    num_rounded: int

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """The problems that forbid to train on a case."""
        return tuple(problem for problem in self.problems if problem.is_fatal)

    @property
    def summary(self) -> str:
        """How many cases of what kind there are, as a finished sentence."""
        cases = {entry.case_id: entry.subtype for entry in self.entries}
        counts = Counter("no" if each is None else str(each) for each in cases.values())
        kinds = ", ".join(f"{counts[each]} of subtype {each}" for each in sorted(counts))
        broken = len({problem.case_id for problem in self.fatal})
        kinds = kinds.replace("of subtype no", "without a subtype")
        amount = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
        return f"{amount}: {kinds}; {broken or 'none'} broken."

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "num_cases": len({entry.case_id for entry in self.entries}),
            "num_broken": len({problem.case_id for problem in self.fatal}),
            "num_rounded": self.num_rounded,
            "problems": [asdict(problem) for problem in self.problems],
        }


def check_dataset(folder: Path, on_progress: OnProgress = ignore_progress) -> DatasetReport:
    """Read every file of a data set and list what is wrong.

    Files that have not changed since an earlier check are not read again.

    Args:
        folder: The data set.
        on_progress: Told ("check", fraction of the cases); to cancel, it raises.

    Raises:
        DatasetError: If the folder has another layout.
    """
    listing = list_entries(folder)
    facts = _all_facts(folder, listing.entries, on_progress)
    problems = list(_of_data_set(listing, facts))
    num_subtypes = len(describe(folder).get("subtypes") or ()) or _USUAL_SUBTYPES
    seen: set[str] = set()
    for entry in listing.entries:
        if entry.case_id not in seen:
            seen.add(entry.case_id)
            broken = _of_case(entry, facts[entry.case_id])
            subtype = _of_subtype(entry, listing, facts[entry.case_id], num_subtypes)
            # Of a broken case nobody knows whether it has a lesion.
            problems += [*broken, *(each for each in subtype if each.is_fatal or not broken)]
    problems += [
        Problem(case_id, "duplicate", f"Case {case_id} is listed more than once.")
        for case_id in repeated_cases(listing)
    ]
    rounded = sum(0 < each.off_whole <= LABEL_TOLERANCE for each in facts.values())
    return DatasetReport(listing.entries, facts, tuple(problems), rounded)


def whole_entries(report: DatasetReport) -> tuple[Entry, ...]:
    """Return every case of a data set without broken ones.

    Raises:
        BrokenDatasetError: If it has any; the message lists them.
    """
    if report.fatal:
        raise BrokenDatasetError(report.fatal)
    return report.entries


def usable_entries(report: DatasetReport) -> tuple[Entry, ...]:
    """Return the cases of a data set that are not broken.

    Raises:
        BrokenDatasetError: If none is left.
    """
    broken = {problem.case_id for problem in report.fatal}
    entries = tuple(entry for entry in report.entries if entry.case_id not in broken)
    if not entries:
        raise BrokenDatasetError(report.fatal)
    return entries


def _of_data_set(listing: Listing, facts: Mapping[str, CaseFacts]) -> Iterator[Problem]:
    rounded = sum(0 < each.off_whole <= LABEL_TOLERANCE for each in facts.values())
    if rounded:
        files = "1 label file holds" if rounded == 1 else f"{rounded} label files hold"
        text = f"{files} values like 1.0000153; they are rounded."
        yield Problem("", "rounded values", text, is_fatal=False)
    if listing.ignored:
        text = f"These labels count as background: {', '.join(listing.ignored)}."
        yield Problem("", "ignored labels", text, is_fatal=False)
    strangers = set(listing.subtypes or {}) - set(facts)
    if strangers:
        cases = "1 case" if len(strangers) == 1 else f"{len(strangers)} cases"
        text = f"subtypes.csv names {cases} that the data set does not hold."
        yield Problem("", "unknown cases", text, is_fatal=False)


def _of_case(entry: Entry, facts: CaseFacts) -> list[Problem]:
    missing = _missing(entry)
    if missing:
        return missing
    found = [text for check in (_of_image, _of_labels) for text in check(entry, facts)]
    return [Problem(entry.case_id, kind, text) for kind, text in found]


def _missing(entry: Entry) -> list[Problem]:
    problems: list[Problem] = []
    if not entry.image.is_file():
        problems.append(Problem(entry.case_id, "missing image", "The case has no image file."))
    if not entry.labels.is_file():
        problems.append(Problem(entry.case_id, "missing labels", "The case has no label file."))
    return problems


def _of_image(_entry: Entry, facts: CaseFacts) -> Iterator[tuple[str, str]]:
    if facts.image_error:
        yield "unreadable image", facts.image_error
        return
    if facts.num_without_value:
        number = facts.num_without_value
        voxels = "1 voxel is" if number == 1 else f"{number} voxels are"
        yield "voxels without value", f"{voxels} not a number."
    if (
        facts.shape != (0, 0, 0)
        and not facts.labels_error
        and facts.hu_range[0] == facts.hu_range[1]
    ):
        yield "constant image", f"Every voxel of the image is {facts.hu_range[0]:g}."
    if facts.shape != (0, 0, 0) and not _is_plausible(facts.spacing_mm):
        spacing = " x ".join(f"{each:g}" for each in facts.spacing_mm)
        yield "spacing", f"Voxels of {spacing} mm are not those of a CT of the abdomen."


def _is_plausible(spacing_mm: tuple[float, float, float]) -> bool:
    return min(spacing_mm) >= _MIN_SPACING_MM and max(spacing_mm) <= MAX_SPACING_MM


def _of_labels(entry: Entry, facts: CaseFacts) -> Iterator[tuple[str, str]]:
    if facts.labels_error:
        yield "unreadable labels", facts.labels_error
    if facts.labels_error or facts.image_error:
        return
    if not facts.is_same_grid:
        yield "geometry", "Image and labels differ in shape or in where their voxels lie."
    if facts.off_whole > LABEL_TOLERANCE or any(not 0 <= value <= 255 for value, _ in facts.counts):
        yield "values", "The labels are not whole numbers from 0 to 255."
        return
    known = dict(entry.values)
    unknown = [value for value, _ in facts.counts if value not in known]
    if unknown:
        values = ", ".join(str(value) for value in unknown)
        yield "unknown label", f"The labels hold {values}, which dataset.json does not name."
        return
    present = {NAMES[known[value]] for value, _ in facts.counts if known[value]}
    must_be_there = "pancreas" in entry.annotated - entry.absent
    if not present and must_be_there:
        yield "empty labels", "The label file is empty."
    for name in sorted(present & (entry.absent | (frozenset(NAMES.values()) - entry.annotated))):
        state = "absent" if name in entry.absent else "unlabelled"
        yield "contradiction", f"The data set calls the {name} {state}, but the case has one."


def _of_subtype(
    entry: Entry, listing: Listing, facts: CaseFacts, num_subtypes: int
) -> Iterator[Problem]:
    if listing.subtypes is None:
        return
    text = listing.subtypes.get(entry.case_id)
    has_lesion = bool(facts.lesions_mm3)
    if text and (entry.subtype is None or entry.subtype >= num_subtypes):
        message = f"The subtype is '{text}', not one of 0 to {num_subtypes - 1}."
        yield Problem(entry.case_id, "wrong subtype", message)
    elif text is None or (not text and has_lesion):
        message = (
            "The case has a lesion but no subtype."
            if has_lesion
            else ("subtypes.csv does not name the case.")
        )
        yield Problem(entry.case_id, "no subtype", message, is_fatal=False)
    elif text and subtype_of(text) is not None and not has_lesion and "lesion" in entry.annotated:
        message = "The case has a subtype but no labelled lesion."
        yield Problem(entry.case_id, "subtype without lesion", message, is_fatal=False)


def _all_facts(
    folder: Path, entries: Sequence[Entry], on_progress: OnProgress
) -> dict[str, CaseFacts]:
    memory = _Memory(folder)
    facts: dict[str, CaseFacts] = {}
    on_progress("check", 0.0)
    pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))
    try:
        futures = {pool.submit(memory.recall, entry, measure): entry for entry in entries}
        for number, future in enumerate(as_completed(futures), start=1):
            facts[futures[future].case_id] = future.result()
            on_progress("check", number / len(entries))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        memory.save()
    return facts


class _Memory:
    """Remembers the facts of files that do not change."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._path = platformdirs.user_cache_path("islet") / "checked" / f"{digest}.json"
        self._known = self._load()
        self._used: dict[str, Any] = {}

    def recall(self, entry: Entry, look: Callable[[Entry], CaseFacts]) -> CaseFacts:
        """Return what is known of a case, or look."""
        key = self._key(entry)
        known = self._known.get(entry.case_id)
        if isinstance(known, dict) and known.get("key") == key:
            self._used[entry.case_id] = known
            return facts_from_json(known["facts"])
        facts = look(entry)
        self._used[entry.case_id] = {"key": key, "facts": facts.to_json()}
        return facts

    def save(self) -> None:
        """Keep what is known; a check needs no place to write to, so failing is no matter."""
        part = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({**self._known, **self._used}), encoding="utf-8")
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)

    def _load(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _key(self, entry: Entry) -> list[Any]:
        stamps: list[list[int]] = []
        for path in (entry.image, entry.labels):
            try:
                stat = path.stat()
                stamps.append([stat.st_size, stat.st_mtime_ns])
            except OSError:
                stamps.append([])
        return [_VERSION, str(entry.image), stamps, [list(pair) for pair in entry.values]]
