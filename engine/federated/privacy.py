"""Say what leaves a site, and what does not."""

from __future__ import annotations

TERMS = (
    "What leaves: after every round, numbers by which the network has changed, from all of its"
    " layers; the mean training loss, the number of training cases, and the Dice of the cases that"
    " were held back.",
    "How much of it leaves is said for every run, and noted for every round; the site may set a"
    " limit, which is kept here and not at the server.",
    "What never leaves: images, outlines, names of cases or patients, paths, and logs.",
    "Updates of a network can tell something of the cases it learnt from. Nothing here is a"
    " formal guarantee of differential privacy.",
    "No code comes from the federation: the site runs what is installed on it.",
)
"""Sentences that a site agrees to, for research use only."""
