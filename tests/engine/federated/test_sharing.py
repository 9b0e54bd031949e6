"""What leaves a site is its largest changes, in few bytes, and arrives as it was."""

from __future__ import annotations

import math
import zlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from engine.catalogue import SYSTEMS
from engine.federated.sharing import (
    DamagedUpdateError,
    check_fits,
    decode,
    dense_bytes,
    encode,
    share,
    share_with_memory,
)
from engine.networks.build import build


def _update(seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "b": scale * torch.randn(7, 3, generator=generator),
        "a": 10 * torch.randn(5, 2, 2, generator=generator),
        "scalar": torch.randn((), generator=generator),
        "count": torch.tensor(17),
    }


def _num_kept(update: dict[str, Tensor]) -> int:
    return sum(int(t.count_nonzero()) for t in update.values() if t.is_floating_point())


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1.0))
def test_exactly_the_share_is_kept_and_nothing_left_out_is_larger(
    seed: int, fraction: float
) -> None:
    update = _update(seed)
    shared = share(update, fraction)
    assert _num_kept(shared) == math.ceil(fraction * 42)
    kept = [float(t.abs()[t != 0].min()) for t in shared.values() if t.any() and t.ndim]
    lost = [
        float((update[name] - tensor).abs().max())
        for name, tensor in shared.items()
        if tensor.is_floating_point()
    ]
    assert max(lost) <= min(kept)


def test_a_tensor_of_small_changes_may_share_nothing_and_what_is_kept_is_not_clipped() -> None:
    update = {"large": torch.full((4,), 300.0) + torch.arange(4), "small": torch.rand(12)}
    shared = share(update, 0.25)
    assert torch.equal(shared["large"], update["large"])
    assert not shared["small"].any()


def test_ties_are_kept() -> None:
    shared = share({"tie": torch.tensor([1.0, -1.0, 1.0, 0.5])}, 0.25)
    assert shared["tie"].tolist() == [1.0, -1.0, 1.0, 0.0]


def test_whole_numbers_are_always_shared_and_the_update_is_left_alone() -> None:
    update = _update(3)
    before = {name: tensor.clone() for name, tensor in update.items()}
    assert int(share(update, 0.01)["count"]) == 17
    assert _equal(update, before)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, math.nan])
def test_a_share_is_above_zero_and_at_most_one(fraction: float) -> None:
    with pytest.raises(ValueError, match="shared fraction"):
        share(_update(0), fraction)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1.0))
def test_an_update_arrives_as_it_was_sent(seed: int, fraction: float) -> None:
    shared = share(_update(seed), fraction)
    assert _equal(decode(encode(shared)), shared)


def test_an_update_without_changes_and_one_without_tensors_arrive() -> None:
    still = {"weight": torch.zeros(3, 3)}
    assert _equal(decode(encode(still)), still)
    assert decode(encode({})) == {}


def test_a_quarter_of_a_networks_changes_takes_at_most_035_of_its_bytes() -> None:
    network = build(SYSTEMS.get("c2fnas").at("toy"))
    update = {name: torch.randn_like(tensor) for name, tensor in network.state_dict().items()}
    quarter, everything = encode(share(update, 0.25)), encode(update)
    assert len(quarter) <= 0.35 * dense_bytes(update)
    assert dense_bytes(update) <= len(everything) <= 1.1 * dense_bytes(update)
    assert encode(share(update, 0.25)) == quarter


def test_what_is_held_back_is_sent_once_it_has_grown() -> None:
    update, unsent, sent = _update(0), dict[str, Tensor](), torch.zeros(7, 3)
    assert not share(update, 0.1)["b"].any()
    for number in range(1, 41):
        shared, unsent = share_with_memory(update, 0.1, unsent)
        sent = sent + shared["b"]
        assert torch.allclose(sent + unsent["b"], number * update["b"], atol=1e-3)
    assert sent.any()
    assert "count" not in unsent


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_neither_sent_nor_taken(bad: float) -> None:
    with pytest.raises(DamagedUpdateError, match="not finite"):
        encode({"weight": torch.tensor([1.0, bad])})
    content = bytearray(encode({"weight": torch.tensor([1.0, 2.0])}))
    begin = content.index(torch.tensor([1.0, 2.0]).numpy().tobytes())
    content[begin : begin + 4] = torch.tensor([bad]).numpy().tobytes()
    with pytest.raises(DamagedUpdateError, match="not finite"):
        decode(bytes(content))


def _forged(shapes: str, format_: str = "islet-update-1", **tensors: Tensor) -> bytes:
    return save(tensors, {"islet": f'{{"format": "{format_}", "shapes": {shapes}}}'})


_MASK = torch.frombuffer(bytearray(zlib.compress(b"\x80")), dtype=torch.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no update at all, whatever it says",
        encode(_update(1))[:-5],
        save({"values": torch.zeros(1)}),
        _forged('{"w": [8]}', values=torch.ones(1)),
        _forged('{"w": [8]}', values=torch.ones(2), mask=_MASK),
        _forged('{"w": [8]}', values=torch.ones(1).double(), mask=_MASK),
        _forged('{"w": [80]}', values=torch.ones(1), mask=_MASK),
        _forged('{"w": [-8, -1]}', values=torch.ones(1), mask=_MASK),
        _forged('{"w": [4000000000, 4000000000]}', values=torch.ones(1), mask=_MASK),
        _forged('{"w": ["8"]}', values=torch.ones(1), mask=_MASK),
        _forged("[]", values=torch.ones(1), mask=_MASK),
    ],
)
def test_anything_else_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(DamagedUpdateError) as caught:
        decode(content)
    assert caught.value.message == "The update of a site cannot be used: it is damaged."
    assert "the same version of Islet" in caught.value.remedy


def test_a_later_format_is_told_apart() -> None:
    fits = _forged('{"w": [8]}', values=torch.ones(1), mask=_MASK)
    assert decode(fits)["w"].tolist() == [1.0, *[0.0] * 7]
    with pytest.raises(DamagedUpdateError, match="another program or version"):
        decode(_forged('{"w": [8]}', "islet-update-9", values=torch.ones(1), mask=_MASK))


def test_a_mask_that_unpacks_to_more_than_the_shapes_say_is_refused() -> None:
    bomb = zlib.compress(b"\xff" * 1_000_000)
    mask = torch.frombuffer(bytearray(bomb), dtype=torch.uint8)
    with pytest.raises(DamagedUpdateError):
        decode(_forged('{"w": [8]}', values=torch.ones(8), mask=mask))


def test_an_update_of_another_network_is_refused() -> None:
    model = _update(0)
    check_fits(_update(1), model)
    for other in ({**_update(1), "more": torch.zeros(1)}, {**_update(1), "b": torch.zeros(7)}):
        with pytest.raises(DamagedUpdateError, match="of another network"):
            check_fits(other, model)
