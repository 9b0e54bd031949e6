"""`islet federate simulate` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli import main
from tests.engine.training.tiny import write_balls


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    write_balls(tmp_path / "data", 3)
    listed = [
        {"name": "north", "data": "data"},
        {"name": "south", "data": "data", "annotation": {"lesion": "unlabelled"}},
    ]
    path = tmp_path / "sites.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    return path


def _simulate(sites: Path, out: Path, *more: str, system: str = "c2fnas") -> int:
    given = ("--sites", str(sites), "--rounds", "1", "--local-epochs", "1", "--device", "cpu")
    return main(["federate", "simulate", system, "--out", str(out), *given, *more])


def test_a_simulation_ends_with_the_table_of_every_site_alone_and_together(
    sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _simulate(sites, out, "--method", "dwa", "--share", "0.25", "--table") == 0
    said = capsys.readouterr().out
    text = (out / "table.md").read_text(encoding="utf-8")
    assert said.strip() == text.strip()
    rows = json.loads((out / "table.json").read_text(encoding="utf-8"))
    titles = [row["row"] for row in rows]
    dwa = "Dynamic weight averaging, T = 2, ξ = 2"
    own = [f"{dwa}, best weights of {site}" for site in ("north", "south")]
    assert titles == ["north alone", "south alone", dwa, *own]
    # Every model is judged at every site, also by cases of a site that took no part.
    assert all(set(row["cells"]) == {"north", "south"} for row in rows)
    assert all(set(row["cells"]["south"]) == {"pancreas"} for row in rows)
    assert (out / "table.png").stat().st_size > 10_000
    run = out / "runs" / "c2fnas_dwa_t2_xi2"
    record = json.loads((run / "rounds.jsonl").read_text(encoding="utf-8"))
    assert all(sent["sent"] <= 0.35 * sent["dense"] for sent in record["bytes"].values())
    assert sum(record["weights"].values()) == pytest.approx(2.0)
    # Of another folder's settings nothing is mixed in.
    assert _simulate(sites, out, "--seed", "2") == 2
    assert "holds another simulation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("system", "method", "said"),
    [
        ("starter", "fedavg", "cannot train the system 'starter'"),
        ("c2fnas", "fedavgg", "There is no federation called 'fedavgg'."),
        ("c2fnass", "fedavg", "c2fnass"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(
    sites: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    system: str,
    method: str,
    said: str,
) -> None:
    out = tmp_path / "out"
    assert _simulate(sites, out, "--method", method, system=system) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
