"""Analyse one case: the hallway from a volume to findings."""

from __future__ import annotations

from dataclasses import replace

from engine.case import Case
from engine.data.prepare import prepare
from engine.errors import IsletError
from engine.finding import Finding, Prediction
from engine.inference.classify import subtype_probabilities
from engine.inference.detect import to_patient
from engine.inference.localise import find_region
from engine.inference.measure import find_lesions, with_boxes
from engine.inference.memory import outputs_within_memory, peak_memory_bytes
from engine.inference.model import Model, load_model
from engine.inference.outputs import finds_lesions
from engine.inference.plausible import plausible
from engine.inference.restore import to_scan
from engine.inference.stages import StageClock
from engine.progress import OnProgress, ignore_progress
from engine.system import System


class UnsafeVolumeError(IsletError):
    """The volume may be viewed, but an analysis of it would mislead."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(
            f"This scan can be viewed but must not be analysed. {' '.join(reasons)}",
            remedy="Open the complete original CT series, and analyse that.",
        )


def predict(
    case: Case,
    system: System | Model,
    *,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Prediction:
    """Return everything `system` says about `case`.

    Args:
        case: Its volume is read, nothing else of it.
        system: What to run; a loaded model is used as it is, on its own device.
        device: "auto", "cpu" or "cuda:<number>", for a system that is not loaded yet.
        on_progress: Told the stages "localise", "prepare", "infer", "restore", "measure" and
            "classify"; "prepare" to "restore" come again where a region proves doubtful.

    Raises:
        UnsafeVolumeError: If the volume must not be analysed.
        NotEnoughMemoryError: If the network does not fit the machine.
    """
    if case.volume.unsafe_reasons:
        raise UnsafeVolumeError(case.volume.unsafe_reasons)
    model = system if isinstance(system, Model) else load_model(system, device)
    settings, clock = model.system.inference, StageClock(on_progress)

    with clock.stage("localise"):
        region = find_region(model, case.volume, on_progress)
    while True:
        with clock.stage("prepare"):
            prepared = prepare(region.volume, model.system.preparation)
        with clock.stage("infer"):
            outputs = plausible(outputs_within_memory(model, prepared, on_progress), prepared)
        with clock.stage("restore"):
            segmented = outputs.probabilities_KDHW
            labels, probabilities = to_scan(segmented, prepared, region, model.system)
        if segmented is None or not region.is_doubtful(labels):
            break
        region = region.wider()
    with clock.stage("measure"):
        findings = find_lesions(
            labels, probabilities, case.volume, min_lesion_mm3=settings.min_lesion_mm3
        )
        boxes = to_patient(outputs.boxes, prepared.geometry)
        findings = with_boxes(findings, boxes, case.volume, threshold=settings.box_threshold)
    subtypes: tuple[float, ...] = ()
    if model.system.subtypes and (findings or not finds_lesions(model.system)):
        with clock.stage("classify"):
            subtypes = subtype_probabilities(model, prepared, outputs)

    return Prediction(
        case_id=case.case_id,
        system=model.system.name,
        labels=labels,
        findings=_with_subtype(findings, subtypes),
        subtype_probabilities=subtypes,
        seconds=clock.seconds,
        weights_digest=model.digest,
        device=str(model.device),
        precision=model.precision,
        route=region.route,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _with_subtype(
    findings: tuple[Finding, ...], subtypes: tuple[float, ...]
) -> tuple[Finding, ...]:
    if not subtypes:
        return findings
    likeliest = max(range(len(subtypes)), key=lambda subtype: subtypes[subtype])
    return tuple(replace(finding, subtype=likeliest) for finding in findings)
