"""`islet federate`: sites train one model together."""

from __future__ import annotations

import typer

from engine.cli.federate_kits import approve, check, init, join, request, revoke, sites
from engine.cli.federate_run import run
from engine.cli.federate_serve import server, start, status, stop
from engine.cli.federate_simulate import simulate

federate = typer.Typer(help="Let sites train one model together.", no_args_is_help=True)
for _verb in (
    init,
    approve,
    revoke,
    sites,
    server,
    run,
    request,
    join,
    check,
    start,
    stop,
    status,
    simulate,
):
    federate.command(_verb.__name__)(_verb)
