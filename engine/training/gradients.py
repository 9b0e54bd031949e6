"""The gradients of several tasks, apart and together.

Shapes: T tasks, P shared parameters, flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

Losses = Mapping[str, Tensor]
Average = Callable[[Tensor], Tensor]
"""The mean of a tensor over the processes that share a batch; as it is for a single one."""


def add_gradient(
    losses: Losses, weights: Mapping[str, float], parameters: Sequence[nn.Parameter], scale: float
) -> None:
    """Add `scale` times the gradient of the weighted sum of `losses` to `.grad`."""
    terms = [weights[task] * loss for task, loss in losses.items() if loss.requires_grad]
    if not terms:
        return
    total = scale * torch.stack(terms).sum()
    torch.autograd.backward(total, inputs=[one for one in parameters if one.requires_grad])


def shared_gradients(losses: Losses, shared: Sequence[nn.Parameter], scale: float) -> Tensor:
    """Return `scale` times every task's gradient on the shared parameters; the graph is kept.

    The scale comes before the gradient, where it saves fp16 from rounding to zero.

    Returns:
        (T, P) float32, in the order of `losses`; zeros for a task without a gradient.
    """
    wanted = [one for one in shared if one.requires_grad]
    return torch.stack([_gradient(scale * loss, wanted) for loss in losses.values()])


def _gradient(loss: Tensor, wanted: list[nn.Parameter]) -> Tensor:
    parts: Sequence[Tensor | None] = [None] * len(wanted)
    if loss.requires_grad:
        parts = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
    flat = [
        torch.zeros_like(one).flatten() if part is None else part.flatten()
        for one, part in zip(wanted, parts, strict=True)
    ]
    return torch.cat(flat).float()
