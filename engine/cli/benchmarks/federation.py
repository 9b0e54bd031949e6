"""`islet benchmark federation`: what a round costs beside its training, up to many sites."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from engine.cli.benchmarks.machine import circumstances, in_words
from engine.cli.console import notes, results

if TYPE_CHECKING:
    from torch import Tensor

_SITES = (1, 2, 4, 8)
_MANY = 50
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """What a round costs beside its training.

    Args:
        num_sites: That take part.
        server_s: Seconds in which the server decodes, weighs and adds all updates.
        received_bytes: By the server.
        sent_bytes: By the server.
    """

    num_sites: int
    server_s: float
    received_bytes: int
    sent_bytes: int


def federation(
    system: Annotated[str, typer.Option(help="Whose network is shared.")] = "c2fnas",
    size: Annotated[Literal["toy", "small", "full"], typer.Option(help="Of the system.")] = "full",
    share: Annotated[
        float, typer.Option(help="Part of every update that leaves.", min=0.001, max=1.0)
    ] = 0.25,
    out: Annotated[Path | None, typer.Option("--json", help="File for the same figures.")] = None,
) -> None:
    """Time what a site sends and a server aggregates, and project it to 50 sites."""
    import torch

    from engine.archive.registered import find_system
    from engine.federated.aggregate import difference
    from engine.federated.local import tensors_of
    from engine.federated.sharing import dense_bytes, encode
    from engine.federated.sharing import share as share_part
    from engine.networks.build import build

    torch.manual_seed(1)
    model = tensors_of(build(find_system(system).at(size)))
    trained = {
        name: each + 1e-3 * torch.randn(each.shape) if each.is_floating_point() else each
        for name, each in model.items()
    }
    update = difference(trained, model)
    site_s = _seconds(lambda: encode(share_part(update, share)))
    content = encode(share_part(update, share))
    costs = [_cost(model, content, count) for count in _SITES]
    fixed_s, each_s = _line([(cost.num_sites, cost.server_s) for cost in costs])
    facts = {
        **circumstances("cpu"), "network": system, "size": size, "shared_fraction": share,
        "numbers": sum(each.numel() for each in model.values()),
        "dense_bytes": dense_bytes(model), "update_bytes": len(content), "site_s": site_s,
        "server_fixed_s": fixed_s, "server_s_per_site": each_s,
        "projected_sites": _MANY, "projected_server_s": fixed_s + each_s * _MANY,
        "peer": _peer(update, share),
    }  # fmt: skip
    _say(facts, costs)
    if out is not None:
        values = {**facts, "costs": [asdict(cost) for cost in costs]}
        out.write_text(json.dumps(values, indent=2), encoding="utf-8")


def _cost(model: dict[str, Tensor], content: bytes, count: int) -> Cost:
    from engine.federated.aggregate import Report
    from engine.federated.rounds import Contribution, Rounds
    from engine.federated.sharing import encode
    from engine.system import Federation, Part

    names = tuple(f"site{number}" for number in range(count))
    rule = Federation(names, 1, 1, Part("dwa"), Part("plain"))
    given = [Contribution(Report(name, 10, 1.0), content) for name in names]
    seconds = _seconds(lambda: Rounds(rule, model, frozenset()).take(given))
    return Cost(count, seconds, count * len(content), count * len(encode(model)))


def _peer(update: dict[str, Tensor], share: float) -> dict[str, float] | None:
    """Return what FLARE's own filter takes and sends for the same update, where it is installed."""
    try:
        from nvflare.apis.dxo import DXO, DataKind, MetaKey
        from nvflare.apis.fl_context import FLContext
        from nvflare.apis.shareable import Shareable
        from nvflare.app_common.filters.percentile_privacy import PercentilePrivacy
    except ImportError:
        return None
    arrays = {name: each.numpy() for name, each in update.items() if each.is_floating_point()}
    # Its percentile is the part that is removed, and its gamma clips unless it is large.
    keep = PercentilePrivacy(percentile=round(100 * (1 - share)), gamma=1e9)

    def work() -> None:
        dxo = DXO(DataKind.WEIGHT_DIFF, dict(arrays), {MetaKey.NUM_STEPS_CURRENT_ROUND: 1})
        keep.process_dxo(dxo, Shareable(), FLContext())

    return {"site_s": _seconds(work), "bytes": float(sum(a.nbytes for a in arrays.values()))}


def _seconds(work: Callable[[], object]) -> float:
    spent: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return median(spent)


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line through `points`."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points)
    slope /= sum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - slope * mean_x, slope


def _say(facts: dict[str, object], costs: Sequence[Cost]) -> None:
    notes.print(in_words(facts), soft_wrap=True, highlight=False)
    table = Table("Sites", "Server, s", "Received, MB", "Sent, MB", box=None)
    for cost in costs:
        table.add_row(
            str(cost.num_sites),
            f"{cost.server_s:.2f}",
            f"{cost.received_bytes / 1e6:.1f}",
            f"{cost.sent_bytes / 1e6:.1f}",
        )
    results.print(table)
    results.print(
        f"Server: {facts['server_fixed_s']:.2f} s + {facts['server_s_per_site']:.3f} s a site;"
        f" {_MANY} sites: {facts['projected_server_s']:.1f} s.",
        highlight=False,
    )
    results.print(f"A site encodes in {facts['site_s']:.2f} s.", highlight=False)
    peer = facts["peer"]
    if isinstance(peer, dict):
        ratio = float(str(facts["update_bytes"])) / peer["bytes"]
        results.print(
            f"FLARE's own filter: {peer['site_s']:.2f} s, {peer['bytes'] / 1e6:.1f} MB;"
            f" ours {float(str(facts['update_bytes'])) / 1e6:.1f} MB, ratio {ratio:.3f}.",
            highlight=False,
        )
