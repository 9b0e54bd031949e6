"""Averages are those of the papers, recomputed from their own tables."""

from __future__ import annotations

import json
import math

import pytest

from engine.federated.table import (
    OVER_SITES,
    OVER_STRUCTURES,
    Row,
    averages,
    columns_of,
    mean_over_sites,
    mean_over_structures,
    to_json,
    to_markdown,
)

# Shen et al., 2021, Table 1: TCIA, MSD pancreas and tumour, Synapse, and "All Avg".
_TABLE_1 = {
    "local TCIA": (79.4, 71.8, 0.0, 5.0, 40.1),
    "local MSD": (61.9, 77.8, 31.1, 4.4, 40.3),
    "local Synapse": (9.8, 0.4, 0.0, 61.1, 23.7),
    "FedAvg": (80.6, 75.1, 20.2, 42.6, 56.9),
    "FedProx": (80.6, 75.0, 19.5, 47.6, 58.5),
    "DTP 1": (64.1, 54.8, 14.4, 34.5, 44.4),
    "DTP 2": (46.0, 57.3, 12.4, 27.6, 36.1),
    "DTP 3": (64.4, 57.2, 12.4, 39.2, 46.1),
    "DTP 4": (64.3, 55.7, 12.4, 39.3, 45.9),
    "DWA 1": (65.3, 59.8, 9.5, 49.8, 49.9),
    "DWA 1.5": (76.1, 71.7, 13.7, 53.0, 57.3),
    "DWA 2": (78.2, 72.4, 6.8, 56.2, 58.0),
    "DWA 2, 2": (80.9, 73.4, 13.9, 59.6, 61.4),
    "DWA 2, 3": (68.7, 59.8, 7.7, 39.3, 47.3),
}


@pytest.mark.parametrize("row", _TABLE_1)
def test_the_mean_over_sites_is_the_papers(row: str) -> None:
    tcia, pancreas, tumour, synapse, expected = _TABLE_1[row]
    cells = {
        "tcia": {"pancreas": tcia},
        "msd": {"pancreas": pancreas, "lesion": tumour},
        "synapse": {"pancreas": synapse},
    }
    assert mean_over_sites(cells) == pytest.approx(expected, abs=0.0501)


def test_the_mean_over_structures_counts_every_case_once() -> None:
    cells = {"c1": {"pancreas": 0.8}, "c2": {"pancreas": 0.6, "lesion": 0.4}}
    counts = {"c1": {"pancreas": 84}, "c2": {"pancreas": 100, "lesion": 100}}
    pancreas = (84 * 0.8 + 100 * 0.6) / 184
    assert mean_over_structures(cells, counts) == pytest.approx((pancreas + 0.4) / 2)


_ROW = Row("ours", {"a": {"pancreas": [0.5, 0.7]}, "b": {"pancreas": [0.9], "lesion": [0.1]}})


def test_a_row_of_cases_has_both_averages() -> None:
    assert averages(_ROW.scores) == {
        OVER_SITES: pytest.approx((0.6 + 0.5) / 2),
        OVER_STRUCTURES: pytest.approx((0.7 + 0.1) / 2),
    }


def test_columns_are_sites_by_structures_and_unknown_cells_are_dashes() -> None:
    rows = (Row("other", {"a": {"pancreas": [0.2]}, "b": {}}), _ROW)
    assert columns_of(rows) == (("a", "pancreas"), ("b", "pancreas"), ("b", "lesion"))
    lines = to_markdown(rows).splitlines()
    assert lines[0] == (
        "| | a pancreas | b pancreas | b lesion | mean over sites | mean over structures |"
    )
    assert lines[2] == "| other | 0.200 (0.200 to 0.200) | – | – | 0.200 | 0.200 |"
    assert lines[3].startswith("| ours | 0.600 (0.500 to 0.700) | 0.900 ")
    assert all(line.count("|") == 7 for line in lines)


def test_json_says_every_case_and_nothing_where_nothing_is_known() -> None:
    first, empty = json.loads(json.dumps(to_json((_ROW, Row("none", {}))), allow_nan=False))
    cell = first["cells"]["a"]["pancreas"]
    assert cell["cases"] == [0.5, 0.7]
    assert cell["num_cases"] == 2
    assert cell["dice"] == pytest.approx(0.6)
    assert empty["averages"] == {OVER_SITES: None, OVER_STRUCTURES: None}
    assert math.isnan(averages({})[OVER_SITES])
