"""Names that end up in certificates and folders, and fingerprints that are read aloud."""

from __future__ import annotations

import pytest

from engine.federated.kits.names import (
    HostError,
    UnusableNameError,
    check_host,
    check_name,
    grouped,
    in_certificates,
    same_fingerprint,
)


@pytest.mark.parametrize(
    "name", ["", "North", "../north", "north east", "-north", "nörd", "a" * 41, "server", "n/a"]
)
def test_odd_names_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(UnusableNameError) as caught:
        check_name("site", name)
    assert caught.value.message == f"'{name}' cannot be the name of a site."


def test_plain_names_are_taken() -> None:
    for name in ("north", "klinik-1", "a", "uni_ward_3"):
        check_name("site", name)


@pytest.mark.parametrize("host", ["", "192.168.0.1", "a b", "-x.de", "x..de", "ä.de", "a.b:80"])
def test_only_host_names_are_hosts(host: str) -> None:
    with pytest.raises(HostError) as caught:
        check_host(host)
    assert caught.value.message == f"'{host}' is no host name."
    assert "not its number" in caught.value.remedy


def test_hosts_are_taken() -> None:
    for host in ("localhost", "fl.klinik-nord.example", "server1"):
        check_host(host)


def test_an_organisation_keeps_its_letters() -> None:
    assert (
        in_certificates("Universitätsklinikum Köln, Haus 5") == "Universitatsklinikum_Koln_Haus_5"
    )
    with pytest.raises(UnusableNameError, match="organisation"):
        in_certificates("病院")


def test_fingerprints_are_compared_however_they_are_written() -> None:
    assert grouped("sha256:ab12ef") == "AB:12:EF"
    assert same_fingerprint("AB:12:EF", " ab12 ef")
    assert same_fingerprint("SHA256:AB:12:EF", "ab-12-ef")
    assert not same_fingerprint("AB:12:EF", "AB:12:E0")
    assert not same_fingerprint("", "")
    assert not same_fingerprint("no digits", "so")
