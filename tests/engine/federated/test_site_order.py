"""What a site is asked comes over a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalogue.federations import FEDAVG
from engine.federated.site_order import SiteOrder, SiteOrderError, order_from_json

_ORDER = SiteOrder("first", FEDAVG, "toy", 1, True)
_OUTSIDE = ("../../x", "..", ".", "", "/tmp/x", "a/b", "a\\b", "-x", "a" * 61, "a\n")


def test_an_order_travels_as_it_is() -> None:
    assert order_from_json(_ORDER.to_json()).to_json() == _ORDER.to_json()


@pytest.mark.parametrize("name", _OUTSIDE)
def test_the_name_of_a_run_does_not_lead_out_of_the_sites_folder(name: str) -> None:
    with pytest.raises(SiteOrderError) as caught:
        order_from_json(replace(_ORDER, run=name).to_json())
    assert "cannot be understood" in caught.value.message


@pytest.mark.parametrize("name", _OUTSIDE)
def test_nor_does_that_of_a_job(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")
    from engine.federated.flare.executor import SiteExecutor

    monkeypatch.setenv("ISLET_FEDERATION_FOLDER", str(tmp_path))
    with pytest.raises(ValueError, match="not the name of a run"):
        SiteExecutor(name)


def test_other_values_are_no_order() -> None:
    for values in ({}, {"format": "islet-site-order-9"}, {**_ORDER.to_json(), "seed": "x"}):
        with pytest.raises(SiteOrderError):
            order_from_json(values)
