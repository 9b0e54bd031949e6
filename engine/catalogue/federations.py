"""The federations of two papers: who trains together, how often, and how it is put together.

They are trained by `islet federate`, not at one site, and so have a list of their own.
"""

from __future__ import annotations

from dataclasses import replace

from engine.catalogue.c2fnas import C2FNAS, C2FNAS_VAE
from engine.registry import Registry
from engine.system import Federation, Part, System

_SHEN = "Shen et al., Multi-task federated learning for heterogeneous pancreas segmentation, 2021"
_WANG = (
    "Wang et al., Automated pancreas segmentation using multi-institutional collaborative deep"
    " learning, 2020"
)
_SIZES = {"toy": (2, 1), "small": (15, 5)}  # ours: rounds, and local epochs in each

_THREE_SITES = Federation(
    sites=("tcia", "msd", "synapse"),
    rounds=60,
    local_epochs=10,
    aggregate=Part("fedavg"),
    local_objective=Part("plain"),
    shared_fraction=0.25,
)
_TWO_SITES = Federation(
    sites=("c1", "c2"),
    rounds=60,  # ours: the source only says that weights are exchanged every 10 epochs
    local_epochs=10,
    aggregate=Part("fedavg"),  # ours: the source does not say how sites are weighed
    local_objective=Part("plain"),
)


def federated(system: System, federation: Federation, name: str, title: str, source: str) -> System:
    """Return `system`, and its smaller sizes, as sites train it together."""
    sizes = {
        size: replace(
            smaller,
            name=name,
            title=title,
            source=source,
            federation=replace(federation, rounds=_SIZES[size][0], local_epochs=_SIZES[size][1]),
        )
        for size, smaller in system.sizes.items()
    }
    return replace(
        system, name=name, title=title, source=source, federation=federation, sizes=sizes
    )


def local(site: str, data: str) -> System:
    """Return the training of one site alone: a federation of one, which shares everything."""
    alone = replace(_THREE_SITES, sites=(site,), shared_fraction=1.0)
    return federated(C2FNAS, alone, f"local_{site}", f"C2FNAS on {data} alone", f"{_SHEN}, Table 1")


def dtp(*, gamma: float, alpha: float, power: float) -> System:
    """Return dynamic task prioritisation at one setting of Table 1."""
    rule = Part("dtp", {"gamma": gamma, "alpha": alpha, "power": power})
    return federated(
        C2FNAS,
        replace(_THREE_SITES, local_objective=rule),
        f"dtp_g{gamma:g}_a{alpha:g}_r{power:g}",
        f"Dynamic task prioritisation, γ = {gamma:g}, α = {alpha:g}, r = {power:g}",
        f"{_SHEN}, Sect. 2.3",
    )


def dwa(*, temperature: float, scale: int = 1) -> System:
    """Return dynamic weight averaging at one setting of Table 1."""
    rule = Part("dwa", {"temperature": temperature, "scale": scale})
    return federated(
        C2FNAS,
        replace(_THREE_SITES, aggregate=rule),
        f"dwa_t{temperature:g}_xi{scale}",
        f"Dynamic weight averaging, T = {temperature:g}, ξ = {scale}",
        f"{_SHEN}, Sect. 2.4",
    )


def baseline(site: str) -> System:
    """Return the training of one of the two institutions alone."""
    alone = replace(_TWO_SITES, sites=(site,))
    title = f"C2FNAS with a reconstruction branch at {site.upper()} alone"
    return federated(C2FNAS_VAE, alone, f"{site}_baseline", title, f"{_WANG}, Table 2")


FEDAVG = federated(C2FNAS, _THREE_SITES, "fedavg", "Federated averaging", f"{_SHEN}, Sect. 2.2")
FEDPROX = federated(
    C2FNAS,
    # ours: the paper gives no µ; NVIDIA FLARE's default
    replace(_THREE_SITES, local_objective=Part("fedprox", {"mu": 0.01})),
    "fedprox",
    "Federated averaging with a proximal term",
    f"{_SHEN}, Sect. 2.2",
)
C2FNAS_VAE_FEDERATED = federated(
    C2FNAS_VAE,
    _TWO_SITES,
    "c2fnas_vae_federated",
    "C2FNAS with a reconstruction branch, two institutions",
    _WANG,
)

FEDERATIONS: Registry[System] = Registry("federation")
for _system in (
    local("tcia", "TCIA"),
    local("msd", "MSD"),
    local("synapse", "Synapse"),
    FEDAVG,
    FEDPROX,
    dtp(gamma=1, alpha=0.9, power=1),
    dtp(gamma=2, alpha=0.9, power=1),
    dtp(gamma=1, alpha=0.5, power=1),
    dtp(gamma=1, alpha=0.5, power=2),
    dwa(temperature=1),
    dwa(temperature=1.5),
    dwa(temperature=2),
    dwa(temperature=2, scale=2),
    dwa(temperature=2, scale=3),
    baseline("c1"),
    baseline("c2"),
    C2FNAS_VAE_FEDERATED,
):
    FEDERATIONS.add(_system.name, _system)
