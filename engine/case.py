"""A patient's volume with everything known about it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.volume import LabelMap, Volume


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what the picture shows, as written in the corner of a view; never logged.

    Empty strings stand for what the file does not say.
    """

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    study_description: str = ""
    series_description: str = ""
    series_number: str = ""
    acquisition: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A volume and what is known about it.

    Args:
        case_id: Identifies the case in logs and results; holds no patient data.
        volume: The CT.
        labels: Reference labels, where there are any.
        annotated: The structures a reader looked for. A structure that is not in here
            but has no label was *not looked for*, which is not the same as healthy.
        subtype: Lesion subtype 0, 1 or 2; None for a healthy or unknown case.
        phase: Contrast phase, e.g. "arterial" or "venous"; None where unknown.
        identity: What the corner text shows.
        window: The file's own default (width, centre) in HU, where it names one.
    """

    case_id: str
    volume: Volume
    labels: LabelMap | None = None
    annotated: frozenset[str] = frozenset()
    subtype: int | None = None
    phase: str | None = None
    identity: Identity = Identity()
    window: tuple[float, float] | None = None
