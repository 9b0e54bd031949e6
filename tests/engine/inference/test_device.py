"""The device is the one asked for, or an error that says so."""

from __future__ import annotations

import pytest
import torch

from engine.inference.device import DeviceMissingError, autocast, choose_device, choose_precision


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_takes_a_graphics_card_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:7", "tpu-of-tomorrow", "meta"])
def test_a_missing_device_is_told_with_a_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceMissingError) as caught:
        choose_device(name)
    assert caught.value.message == (
        f"This machine has no device called '{name}' that the engine can use."
    )
    assert caught.value.remedy == (
        "Choose 'auto' or 'cpu', or install a build of torch for your graphics card."
    )


def test_the_cpu_computes_bf16_only_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert choose_precision(cpu) == "bf16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert choose_precision(cpu) == "fp32"


@pytest.mark.parametrize(("capability", "precision"), [((9, 0), "fp16"), ((6, 1), "fp32")])
def test_a_graphics_card_computes_fp16_where_it_has_tensor_cores(
    capability: tuple[int, int], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_precision(torch.device("cuda", 0)) == precision


def test_fp32_changes_nothing() -> None:
    one = torch.ones(2, 2)
    with autocast(torch.device("cpu"), "fp32"):
        assert (one @ one).dtype == torch.float32
    with autocast(torch.device("cpu"), "bf16"):
        assert (one @ one).dtype == torch.bfloat16
