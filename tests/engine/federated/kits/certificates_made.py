"""Certificates that an authority made by FLARE would never sign."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from engine.federated.kits.certificates import Kit


def expired_kit(kit: Kit, authority: Path, folder: Path) -> Kit:
    """Copy `kit` into `folder`, with a certificate by `authority` that expired yesterday."""
    key = load_pem_private_key((authority / "rootCA.key").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    own = x509.load_pem_x509_certificate(kit.certificate.read_bytes())
    made = replace(kit, folder=folder)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(own.issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    made.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    made.root.write_bytes(kit.root.read_bytes())
    made.key.write_bytes(kit.key.read_bytes())
    made.key.chmod(0o600)
    return made
