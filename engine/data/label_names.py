"""What data sets call the structures that Islet knows."""

from __future__ import annotations

from collections.abc import Mapping

STRUCTURES = ("pancreas", "lesion")
NAMES: Mapping[int, str] = dict(enumerate(STRUCTURES, start=1))
"""Label value to structure, in Islet."""

_ALIASES = {
    **dict.fromkeys(("pancreas", "pancreas parenchyma", "pancreatic duct"), "pancreas"),
    **dict.fromkeys(
        ("lesion", "lesions", "cancer", "tumour", "tumor", "mass", "pdac", "pdac lesion"), "lesion"
    ),
}
_USUAL = {"background": 0, "pancreas": 1, "lesion": 2}


def values_of(labels: object) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Return what the values of a label map mean.

    Args:
        labels: "labels" of a `dataset.json`: name to value, name to a list of values (a region,
            as nnU-Net has them), or value to name; None stands for Islet's own values.

    Returns:
        Pairs of a value in the file and Islet's value (0 background, 1 pancreas, 2 lesion), in
        the order of the former; and the names that are no structure of Islet's. Those become
        background.

    Raises:
        ValueError: If it is none of these, says one value twice, or names no structure.
    """
    stated = _by_name(_USUAL if labels is None else labels)
    meaning: dict[int, int] = {0: 0}
    ignored: list[str] = []
    # Regions first: a structure inside of one takes its values away from it.
    for name, values in sorted(stated, key=lambda item: -len(item[1])):
        structure = _ALIASES.get(name.strip().lower().replace("_", " "))
        if structure is None and name.lower() != "background":
            ignored.append(name)
        for value in values:
            meaning[value] = 0 if structure is None else STRUCTURES.index(structure) + 1
    if not any(meaning.values()):
        raise ValueError("no label is called pancreas or lesion")
    return tuple(sorted(meaning.items())), tuple(sorted(ignored))


def _by_name(labels: object) -> list[tuple[str, tuple[int, ...]]]:
    if not isinstance(labels, dict):
        raise ValueError('"labels" is not an object')
    pairs = [
        (str(value), (int(key),)) if str(key).isdigit() else (str(key), _numbers(value))
        for key, value in labels.items()
    ]
    single = [values[0] for _, values in pairs if len(values) == 1]
    if len(set(single)) < len(single):
        raise ValueError('"labels" gives one value to two names')
    if any(not 0 <= value <= 255 for _, values in pairs for value in values):
        raise ValueError('"labels" has values beyond 0 to 255')
    return pairs


def _numbers(value: object) -> tuple[int, ...]:
    texts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    if not texts or not all(text.isdigit() for text in texts):
        raise ValueError('"labels" has values that are no whole numbers')
    return tuple(int(text) for text in texts)
