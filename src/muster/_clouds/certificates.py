"""The certificates of one cluster: whoever holds one belongs to it, and Ray's machines hear nobody else.

Each cluster has an authority of its own, made when its head is started, and so never trusted by another cluster, or by
the next one of the same name. It lies in the cluster's folder at home: ``ca.key``, which signs and never leaves home,
and ``ca.crt``, which others need to tell who belongs. They are for this user alone (0600), and go with the cluster.

A machine gets ``node.key`` and ``node.crt``, which names the addresses at which it is found, so that none can pass for
another; and ``ca.crt``. They lie in its own folder (0600), and go with it.

All end with the authority: 30 days and four leases after it was made. Ray reads them when a process starts and cannot
be told of new ones, so machines start anew for that: at the first ``muster up`` in the second half of the time at
which no run works on them. Where nobody types that, runs say so in the last three days, and are refused after the end.
"""

import contextlib
import datetime as dt
import ipaddress
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from muster._files.whole import write
from muster.errors import EngineError, UsageError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_LONGEST_NAME: Final = 64
"""What a certificate has room for; whoever checks one goes by the addresses."""
_SHORTEST: Final = dt.timedelta(days=30)
_LEASES: Final = 4
"""Besides a month: a long lease is renewed some times before its certificate has to be."""

_SOON: Final = dt.timedelta(days=3)
_BEFORE: Final = dt.timedelta(days=1)
"""How far the clocks of machines may be behind."""


class Authority:
    """Who says which machines belong to a cluster."""

    def __init__(self, folder: Path) -> None:
        """Know the authority by the cluster's folder."""
        self._key, self._certificate = folder / "ca.key", folder / "ca.crt"

    def begin(self, lease: float) -> None:
        """Make a new authority, on the disk once this returns: certificates of the one before count no more."""
        from cryptography.hazmat.primitives import serialization

        now, key = dt.datetime.now(dt.UTC), _new_key()
        name = f"muster {secrets.token_hex(8)}"
        builder = _begun(name, name, key).not_valid_after(now + _SHORTEST + dt.timedelta(seconds=lease) * _LEASES)
        made = _signed(builder, key, is_authority=True)
        write(self._key, _as_text(key), durable=True)
        write(self._certificate, made.public_bytes(serialization.Encoding.PEM).decode(), durable=True)

    def issue(self, name: str, addresses: Iterable[str]) -> dict[str, str]:
        """Make what a machine needs to belong to the cluster: the text of files, by name."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        authority, key = self._read(), _new_key()
        signing = serialization.load_pem_private_key(self._key.read_bytes(), password=None)
        issuer = str(authority.subject.rfc4514_string()).removeprefix("CN=")
        known = x509.SubjectAlternativeName(list(map(_known_as, dict.fromkeys(addresses))))
        builder = _begun(name[:_LONGEST_NAME], issuer, key).not_valid_after(authority.not_valid_after_utc)
        made = _signed(builder.add_extension(known, critical=False), signing, is_authority=False)  # type: ignore[arg-type]  # it is the key that begin() made
        return {
            "ca.crt": self._certificate.read_text(),
            "node.crt": made.public_bytes(serialization.Encoding.PEM).decode(),
            "node.key": _as_text(key),
        }

    def must_begin_anew(self, alone: Callable[[], None]) -> bool:
        """Tell whether machines that live must start anew for new certificates; then ``alone`` was called."""
        now = dt.datetime.now(dt.UTC)
        with contextlib.suppress(FileNotFoundError, ValueError):
            known = self._read()
            middle = known.not_valid_before_utc + (known.not_valid_after_utc - known.not_valid_before_utc) / 2
            if now < middle:
                return False
            if now < known.not_valid_after_utc:
                try:
                    alone()
                except UsageError:  # a run works on them, and there is time yet
                    return False
                return True
        alone()  # there are none that count
        return True

    def check(self) -> None:
        """Raise ``EngineError`` where the certificates have ended, and nobody can work with the machines any more."""
        try:
            end = self._read().not_valid_after_utc
        except (FileNotFoundError, ValueError) as error:
            raise EngineError(
                f"The certificates of the cluster's machines cannot be read ({error}), so they would not let us in."
                " Make the cluster again: muster down, then muster up."
            ) from error
        if end <= dt.datetime.now(dt.UTC):
            raise EngineError(
                f"The certificates of the cluster's machines ended on {end:%Y-%m-%d at %H:%M} UTC, so the machines do"
                " not talk to each other any more. They are made anew with the machines: type muster up again."
            )

    def remark(self) -> str:
        """Say that the certificates end soon; empty where they do not."""
        with contextlib.suppress(OSError, ValueError):
            end = self._read().not_valid_after_utc
            if end - _SOON < dt.datetime.now(dt.UTC):
                return (
                    f"the certificates of the cluster's machines end on {end:%Y-%m-%d at %H:%M} UTC, and then no"
                    " machine lets another one in: muster up makes new ones, once no run works on the cluster"
                )
        return ""

    def forget(self) -> None:
        """Take the authority away."""
        self._key.unlink(missing_ok=True)
        self._certificate.unlink(missing_ok=True)

    def _read(self) -> "x509.Certificate":
        from cryptography import x509

        return x509.load_pem_x509_certificate(self._certificate.read_bytes())


def environment(folder: str | Path, *, token: str | Path) -> dict[str, str]:
    """Tell Ray to speak to those alone who show a certificate of the cluster and its token, and which to show.

    ``folder`` is a machine's; ``token`` names the file.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_AUTO_CONNECT": "0",  # or Ray starts a head of its own below /tmp for what is asked once it has left
        "RAY_USE_TLS": "1",
        "RAY_TLS_CA_CERT": f"{folder}/ca.crt",
        "RAY_TLS_SERVER_CERT": f"{folder}/node.crt",
        "RAY_TLS_SERVER_KEY": f"{folder}/node.key",
    }


def _new_key() -> "ec.EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _as_text(key: "ec.EllipticCurvePrivateKey") -> str:
    from cryptography.hazmat.primitives import serialization as how

    return key.private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.NoEncryption()).decode()


def _begun(name: str, issuer: str, key: "ec.EllipticCurvePrivateKey") -> "x509.CertificateBuilder":
    from cryptography import x509

    subject, by = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    begun = x509.CertificateBuilder(subject_name=subject, issuer_name=by, public_key=key.public_key())
    return begun.serial_number(x509.random_serial_number()).not_valid_before(dt.datetime.now(dt.UTC) - _BEFORE)


def _signed(
    builder: "x509.CertificateBuilder", key: "ec.EllipticCurvePrivateKey", *, is_authority: bool
) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import oid

    constraints = x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None)
    builder = builder.add_extension(constraints, critical=True)
    if not is_authority:
        both = [oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return builder.sign(key, hashes.SHA256())


def _known_as(address: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address.encode("idna").decode())
