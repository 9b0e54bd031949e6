"""The searched network has the size of its description and the topology of its paper."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.networks.c2fnas import C2FNAS, Cell
from engine.networks.resenc import num_parameters


def test_it_has_15_313_856_parameters_and_costs_157_6_giga_macs() -> None:
    with torch.device("meta"):
        network = C2FNAS(num_classes=3)
        image = torch.empty(1, 1, 96, 96, 96)
    assert num_parameters(network) == 15_313_856
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(157.6, abs=0.05)


def test_stages_have_the_channels_and_strides_the_trunk_tells() -> None:
    network = C2FNAS(num_classes=2, width=2)
    stages = network.encode(torch.randn(1, 1, 32, 16, 32))
    assert network.stage_features == (4, 8, 16, 32)
    for stage, features, stride in zip(
        stages, network.stage_features, network.stage_strides, strict=True
    ):
        assert stage.shape == (1, features, 32 // stride[0], 16 // stride[1], 32 // stride[2])
    assert network.decode(stages)[0].shape == (1, 2, 32, 16, 32)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = C2FNAS(num_classes=2, width=2)
    network(torch.randn(1, 1, 32, 32, 32))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("operation", "reach"), [("2d", (1, 3, 3)), ("3d", (3, 3, 3)), ("p3d", (3, 3, 3))]
)
def test_a_cell_reaches_other_slices_as_its_operation_says(
    operation: str, reach: tuple[int, int, int]
) -> None:
    cell = Cell(1, operation, num_inputs=1)
    for parameter in cell.parameters():
        torch.nn.init.ones_(parameter)
    # The normalisation looks at the whole patch; without it only the kernels are left.
    cell.operation[-1] = torch.nn.Identity()
    image = torch.zeros(1, 1, 7, 7, 7)
    image[..., 3, 3, 3] = 1.0
    touched = cell(image)[0, 0].nonzero()
    assert tuple((touched.amax(0) - touched.amin(0) + 1).tolist()) == reach


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    # In double precision: four voxels at the deepest level magnify rounding.
    network = C2FNAS(num_classes=2, width=2).double()
    images = torch.randn(2, 1, 32, 32, 16, dtype=torch.float64)
    with torch.inference_mode():
        together = network(images)[0]
        alone = torch.cat([network(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone)
