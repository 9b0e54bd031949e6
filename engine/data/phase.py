"""Guess the contrast phase from what people wrote about a series."""

from __future__ import annotations

import re

# Ours: words seen in English, German, French and Spanish protocols; the first match counts.
_WORDS = (
    ("unenhanced", r"unenhanced|non[- ]?contrast|non[- ]?enhanced|without|nativ|\bnc\b|ohne|sans"),
    ("pancreatic", r"pancreatic|pankreasphase|late[- ]?art|sp(ä|ae)t[- ]?art"),
    ("arterial", r"arteri|\bart\b"),
    ("venous", r"venous|ven(ö|oe)s|veineux|venosa|portal|portven|\bven\b|\bpv[p]?\b"),
    ("delayed", r"delay|late|excret|sp(ä|ae)t|tardi"),
)


def guess_phase(*descriptions: str) -> str | None:
    """Return the contrast phase named by the first description that names one.

    Returns:
        "unenhanced", "pancreatic", "arterial", "venous", "delayed", or None.
    """
    for description in descriptions:
        for phase, words in _WORDS:
            if re.search(words, description.lower().replace("_", " ")):
                return phase
    return None
