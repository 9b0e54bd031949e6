"""`islet federate init | request | approve | revoke | sites | join | check`: who may take part."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from engine.archive.federation import read_coordinator, read_members
from engine.archive.federation_status import connected_sites
from engine.cli.console import ERROR_CODE, notes, results

if TYPE_CHECKING:
    from engine.federated.kits.certificates import Check

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]
_COORDINATOR = typer.Argument(help="The coordinator's folder.")
_SITE = typer.Argument(help="The site's folder.")


def init(
    folder: Annotated[Path, typer.Argument(help="New folder of the coordinator.")],
    name: Annotated[str, typer.Option(help="Of the federation.")],
    host: Annotated[str, typer.Option(help="Name under which the sites reach this computer.")],
    port: Annotated[int, typer.Option(help="Of the server.", min=1, max=65535)] = 8002,
    organisation: Annotated[str, typer.Option(help="Whose federation it is.")] = "coordinator",
    as_json: AsJson = False,
) -> None:
    """Begin a federation: its authority, and the kits of server and coordinator."""
    from engine.federated.kits.provision import begin_federation

    made = begin_federation(folder, name=name, host=host, port=port, organisation=organisation)
    if as_json:
        _write(asdict(made))
        return
    notes.print(f"The federation '{made.name}' has its server at {made.host}, port {made.port}.")
    notes.print("Tell the hospitals its name, and read them this fingerprint of its authority:")
    results.print(made.authority, soft_wrap=True, highlight=False)


def request(
    folder: Annotated[Path, typer.Argument(help="New folder of the site.")],
    federation: Annotated[str, typer.Option(help="Name of the federation.")],
    name: Annotated[str, typer.Option(help="Of the site in the federation.")],
    organisation: Annotated[str, typer.Option(help="Whose site it is.")],
    as_json: AsJson = False,
) -> None:
    """Make a private key that stays here, and request.zip for the coordinator."""
    from engine.federated.kits.membership import request_membership

    made = request_membership(folder, federation=federation, name=name, organisation=organisation)
    if as_json:
        _write({**asdict(made), "request": str(folder / "request.zip")})
        return
    notes.print("Send request.zip in this folder to the coordinator; the private key stays here.")
    notes.print("Read them this fingerprint of the key:")
    results.print(made.fingerprint, soft_wrap=True, highlight=False)


def approve(
    folder: Annotated[Path, _COORDINATOR],
    request_file: Annotated[Path, typer.Argument(help="The hospital's request.zip.")],
    out: Annotated[Path | None, typer.Option(help="File for the answer.")] = None,
    fingerprint: Annotated[str, typer.Option(help="Of the key, as it was read aloud.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let a site in: the answer goes back to the hospital."""
    from engine.federated.kits.membership import approve as approve_site
    from engine.federated.kits.membership import read_request

    asked = read_request(request_file)
    name = str(asked.get("name"))
    signed = out or request_file.with_name(f"{Path(name).name}.signed.zip")
    made = approve_site(folder, request_file, signed, fingerprint)
    if as_json:
        _write({"member": asdict(made.member), "signed": str(signed), "authority": made.authority})
        return
    notes.print(f"{made.member.name} of {made.member.organisation} is in. Its key:")
    results.print(made.member.fingerprint, soft_wrap=True, highlight=False)
    if not fingerprint:
        notes.print("Compare it by phone before you send the answer; else use 'revoke'.")
    notes.print(f"Send {signed.name} back, and read them the fingerprint of the authority:")
    results.print(made.authority, soft_wrap=True, highlight=False)


def revoke(
    folder: Annotated[Path, _COORDINATOR],
    site: Annotated[str, typer.Argument(help="Name of the site.")],
    as_json: AsJson = False,
) -> None:
    """Let a site take part no more, at once."""
    from engine.federated.revoke import revoke as revoke_site

    is_out = revoke_site(folder, site)
    if as_json:
        _write({"site": site, "is_disconnected": is_out})
        return
    if is_out:
        notes.print(f"{site} was disconnected, and is not let in again.")
    else:
        notes.print(f"{site} takes part no more; the server, which is off, will not let it in.")


def sites(folder: Annotated[Path, _COORDINATOR], as_json: AsJson = False) -> None:
    """List the sites of a federation."""
    read_coordinator(folder)
    members = read_members(folder)
    connected = connected_sites(folder)
    if as_json:
        listed = [{**asdict(each), "is_connected": each.name in connected} for each in members]
        _write({"sites": listed})
        return
    table = Table("Site", "Organisation", "State", "Expires", box=None)
    for member in members:
        state = "connected" if member.name in connected else "approved"
        state = "revoked" if member.revoked else state
        table.add_row(member.name, member.organisation, state, member.expires[:10])
    results.print(table)


def join(
    folder: Annotated[Path, _SITE],
    signed: Annotated[Path, typer.Argument(help="The coordinator's answer.")],
    fingerprint: Annotated[str, typer.Option(help="Of the authority, as it was read aloud.")],
    as_json: AsJson = False,
) -> None:
    """Join a federation with the coordinator's answer."""
    from engine.archive.federation_terms import terms_of_site
    from engine.federated.kits.membership import join as join_federation

    joined = join_federation(folder, signed, fingerprint)
    terms = terms_of_site(joined.share_at_most)
    if as_json:
        _write({**asdict(joined), "terms": list(terms)})
        return
    notes.print(f"{joined.name} joined '{joined.federation}', server {joined.host}.")
    for term in terms:
        notes.print(f"- {term}", soft_wrap=True, highlight=False)
    notes.print("Begin with 'islet federate start' when you agree.")


def check(
    folder: Annotated[Path, typer.Argument(help="The coordinator's or the site's folder.")],
    as_json: AsJson = False,
) -> None:
    """Look at everything that must be right before a start; exit code 2 where something is not."""
    from engine.federated.services import checks

    found = checks(folder)
    fault = next((each.error for each in found if each.error is not None), None)
    if as_json:
        listed = [
            {
                "what": each.what,
                "result": _result_of(each),
                "message": each.error.message if each.error else "",
                "remedy": each.error.remedy if each.error else "",
            }
            for each in found
        ]
        _write({"checks": listed})
        if fault is not None:
            raise typer.Exit(ERROR_CODE)
        return
    for each in found:
        results.print(f"{_result_of(each):8} {each.what}", highlight=False)
    if fault is not None:
        raise fault


def _result_of(check: Check) -> str:
    if not check.was_made:
        return "not yet"
    return "wrong" if check.error else "right"


def _write(values: dict[str, Any]) -> None:
    results.print_json(json.dumps(values))
