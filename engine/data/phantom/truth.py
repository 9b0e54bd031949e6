"""What is exactly known about a phantom, as plain values for a JSON file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from engine.data.phantom.make import Phantom


def truth_of(phantom: Phantom) -> dict[str, Any]:
    """Return the truth of a phantom.

    Returns:
        `spec`; `pancreas_ml` of the whole pancreas, lesion included; `tissues_hu`; and
        `lesion`, None in a healthy case, else its `subtype`, `volume_ml`, `centre_mm`
        (x, y, z, LPS), `diameter_mm` of the ball of its volume, `mean_hu` and `sd_hu`.
    """
    labels = phantom.case.labels
    if labels is None:
        raise ValueError("a phantom has labels")
    lesion_ml = labels.volume_mm3("lesion") / 1000.0
    return {
        "case": phantom.case.case_id,
        "spec": asdict(phantom.spec),
        "pancreas_ml": round(labels.volume_mm3("pancreas") / 1000.0 + lesion_ml, 3),
        "lesion": _lesion(phantom) if lesion_ml > 0.0 else None,
        "tissues_hu": {name: round(hu, 1) for name, hu in sorted(phantom.tissues_hu.items())},
    }


def _lesion(phantom: Phantom) -> dict[str, Any]:
    labels = phantom.case.labels
    if labels is None:
        raise ValueError("a phantom has labels")
    mask = labels.labels == labels.value_of("lesion")
    values = phantom.case.volume.voxels_hu[mask]
    centre = labels.geometry.to_patient(np.argwhere(mask).mean(axis=0)[None])[0]
    volume_mm3 = labels.volume_mm3("lesion")
    return {
        "subtype": phantom.spec.subtype,
        "volume_ml": round(volume_mm3 / 1000.0, 3),
        "centre_mm": [round(float(value), 2) for value in centre],
        "diameter_mm": round(float(2.0 * (0.75 * volume_mm3 / np.pi) ** (1.0 / 3.0)), 2),
        "mean_hu": round(float(values.mean()), 1),
        "sd_hu": round(float(values.std()), 1),
    }
