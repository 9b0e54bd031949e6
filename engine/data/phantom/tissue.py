"""How bright each tissue is in each contrast phase, and how much patients differ."""

from __future__ import annotations

import numpy as np

from engine.data.phantom.spec import PHASES, PhantomSpec

STRUCTURES: dict[int, str] = dict(
    enumerate(
        (
            "pancreas", "lesion", "pancreatic_duct", "liver", "spleen", "kidney", "stomach",
            "duodenum", "small_bowel", "colon", "gallbladder", "aorta", "inferior_vena_cava",
            "portal_vein", "splenic_vein", "superior_mesenteric_vein", "arteries", "vertebrae",
            "ribs", "muscle", "fat", "lung", "heart", "skin", "spinal_canal", "bowel_gas",
            "cyst", "liver_lesion", "lymph_node", "adrenal",
        ),
        start=1,
    )
)  # fmt: skip
"""Value to structure in the wide label map of a phantom."""

VALUE_OF = {name: value for value, name in STRUCTURES.items()}

# ours: means near published values for multiphase abdominal CT; the spread is ours.
_MEAN_HU = {
    "pancreas": (103, 92, 41, 15), "liver": (68, 106, 55, 8), "spleen": (122, 118, 47, 9),
    "cortex": (165, 178, 32, 16), "medulla": (82, 150, 30, 14), "aorta": (300, 165, 42, 22),
    "cava": (95, 145, 40, 14), "portal": (135, 168, 41, 16), "artery": (275, 155, 42, 22),
    "muscle": (58, 63, 54, 5), "gut_wall": (80, 84, 40, 10), "fat": (-104, -104, -105, 5),
    "bile": (8, 9, 8, 4), "marrow": (190, 200, 175, 30), "cortical": (520, 520, 520, 60),
    "heart": (180, 140, 42, 15), "node": (75, 85, 40, 10), "lung": (-840, -835, -845, 15),
    "canal": (38, 40, 32, 4), "disc": (80, 85, 78, 8), "duct": (10, 10, 9, 4),
}  # fmt: skip
_SITE_OFFSET_HU = {"north": 0.0, "south": 4.0, "west": -3.0}


def draw_tissues(spec: PhantomSpec, rng: np.random.Generator) -> dict[str, float]:
    """Draw one patient's mean HU for every tissue.

    Tissues share part of their spread: a large dose or a slow heart brightens all vessels.
    """
    column = PHASES.index(spec.phase)
    common = rng.normal()
    tissues: dict[str, float] = {}
    for name, row in _MEAN_HU.items():
        spread = row[3] * (0.5 if spec.phase == "unenhanced" else 1.0)
        shared = 0.5 * common if row[column] > 45 and name not in ("marrow", "cortical") else 0.0
        tissues[name] = float(row[column] + spread * (shared + 0.85 * rng.normal()))
        tissues[name] += _SITE_OFFSET_HU[spec.site]
    # Fat between the lobules lowers the mean of an old gland.
    tissues["pancreas"] -= max(spec.age - 50.0, 0.0) * 0.2
    return tissues
