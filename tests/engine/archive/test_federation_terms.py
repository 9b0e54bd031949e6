"""What a site is told of what leaves it."""

from __future__ import annotations

import torch

from engine.archive.federation_terms import needs_text, terms_of_run, terms_of_site
from engine.federated.sharing import encode, share

_SHARED = {"tensors": 3, "numbers": 1000, "fraction": 0.25, "with_memory": False}


def test_the_terms_promise_no_more_than_is_kept() -> None:
    text = " ".join(terms_of_site(0.5))
    assert "no" in text
    assert "formal guarantee of differential privacy" in text
    assert "The limit of this site: 50 % of every update." in text
    assert "not for clinical use" in text


def test_a_runs_terms_are_numbers() -> None:
    found = terms_of_run(_SHARED, 1.0)
    assert (found["numbers"], found["bytes"], found["fraction"]) == (250, 1125, 0.25)
    assert found["text"] == (
        "In every round at most 250 of 1000 numbers leave, the largest 25 %, out of 3 tensors:"
        " about 1 kB."
    )


def test_the_sites_limit_is_stronger_than_the_run() -> None:
    assert terms_of_run(_SHARED, 0.1)["numbers"] == 100
    assert terms_of_run({**_SHARED, "fraction": 0.05}, 0.1)["numbers"] == 50


def test_memory_is_said() -> None:
    assert "in time all of it leaves" in terms_of_run({**_SHARED, "with_memory": True}, 1.0)["text"]


def test_an_update_is_not_larger_than_the_terms_say() -> None:
    update = {"a": torch.randn(100, 200, generator=torch.Generator().manual_seed(1))}
    told = terms_of_run({**_SHARED, "tensors": 1, "numbers": 20_000}, 1.0)
    # What describes the tensors comes on top.
    assert len(encode(share(update, 0.25))) < told["bytes"] + 1000


def test_what_a_run_takes_names_the_sites_that_are_there() -> None:
    needs = {
        "system": "c2fnas", "numbers": 1000, "rounds": 2, "local_epochs": 1,
        "bytes_to_site": 4e6, "bytes_from_site": 1e6, "dense_bytes": 4e6, "min_sites": 2,
        "connected_sites": ["north"], "missing_sites": ["south", "west"],
    }  # fmt: skip
    text = needs_text(needs)
    assert "Connected: north. Not connected: south, west. At least 2 are needed." in text
    assert text.endswith("It waits until enough are there.")
    assert needs_text({**needs, "min_sites": 1}).endswith("At least 1 are needed.")
