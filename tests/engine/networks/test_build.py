"""Every network of the catalogue builds, runs and keeps its weights."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.catalogue.starter import LOCALISER, STARTER
from engine.inference.model import WeightsError, load_model, save_model
from engine.networks.build import build
from engine.networks.heads import SubtypeHead, num_pooled_features, pool_case
from engine.networks.resenc import canonical_state, num_parameters
from engine.registry import UnknownNameError
from engine.system import Part

_TINY = Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)})
_TINY_SYSTEM = replace(
    STARTER, network=_TINY, localiser=replace(LOCALISER, network=_TINY), name="starter"
)


def test_the_starter_gives_logits_of_every_class_at_the_resolution_of_its_input() -> None:
    network = build(STARTER).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 1, 16, 32, 16))["segmentation"]
    assert logits.shape == (1, 3, 16, 32, 16)


def test_the_starter_fits_into_25_megabytes() -> None:
    assert (num_parameters(build(STARTER)) + num_parameters(build(LOCALISER))) * 2 < 25e6


def test_an_unknown_network_is_named_with_its_nearest_match() -> None:
    wrong = replace(STARTER, network=Part("resenc_unett"))
    with pytest.raises(UnknownNameError) as caught:
        build(wrong)
    assert caught.value.remedy == "Did you mean 'resenc_unet'?"


def test_pooling_sees_only_what_the_weights_mark() -> None:
    image = torch.zeros(1, 1, 8, 8, 8)
    image[..., 4:] = 7.0
    lesion = torch.zeros(1, 8, 8, 8)
    lesion[..., 6:] = 1.0
    pooled = pool_case(image, (), torch.zeros(1, 8, 8, 8), lesion)
    assert pooled.shape == (1, num_pooled_features(()))
    assert float(pooled[0, 0]) == pytest.approx(7.0)


def test_saved_weights_come_back_rounded_to_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    main, localiser = build(_TINY_SYSTEM), build(replace(LOCALISER, network=_TINY))
    assert isinstance(main.subtype, SubtypeHead)
    save_model(_TINY_SYSTEM, main, localiser, tmp_path / "w.safetensors")
    loaded = load_model(_TINY_SYSTEM, "cpu", tmp_path / "w.safetensors")
    for name, tensor in canonical_state(main).items():
        expected = tensor.half().float() if name.startswith("trunk.") else tensor
        assert torch.equal(canonical_state(loaded.network)[name], expected)
    assert loaded.localiser is not None
    assert len(loaded.digest) == 64


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_weights_are_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_model(_TINY_SYSTEM, "cpu", path)
    assert caught.value.message.startswith("The weights of the system 'starter' ")
    assert caught.value.remedy == "Reinstall Islet, train the system, or choose another one."


def test_weights_that_cannot_be_written_leave_the_former_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"former")

    def fill_the_disk(part: Path, _content: bytes) -> int:
        with part.open("wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(_TINY_SYSTEM, build(_TINY_SYSTEM), None, path)
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="are not installed"):
        load_model(_TINY_SYSTEM, "cpu", tmp_path / "none.safetensors")


def test_weights_of_another_shape_do_not_fit(tmp_path: Path) -> None:
    localiser = build(replace(LOCALISER, network=_TINY))
    save_model(_TINY_SYSTEM, build(_TINY_SYSTEM), localiser, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_model(STARTER, "cpu", tmp_path / "w.safetensors")
