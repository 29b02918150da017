"""A certificate authority for one site: its certificate, and those of dispatcher, workers, clients.

ECDSA on P-256: small enough for the strings of a domain's definition. Every certificate begins to
be valid when its authority did: a guest restored from disk has the clock of the day it was saved,
and must accept a dispatcher's certificate that is younger.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from servicekit.lifecycle import StartError

Kind = Literal["server", "worker", "client"]

CA_DAYS = 3650
LEAF_DAYS = 365
SERVER_NAMES = ("localhost", "127.0.0.1", "::1", "10.0.2.2")
"""What a dispatcher on this machine is called, by itself and by guests on user-mode networks."""

_DISPATCHER = "urn:virtscale:dispatcher"
_WORKER = "urn:virtscale:worker:"
_CLIENT = "urn:virtscale:client:"
_ROLE = "urn:virtscale:role:"
_BACKDATED = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """Where a certificate and its key are."""

    certificate: Path
    key: Path

    @property
    def exists(self) -> bool:
        """True when both are there."""
        return self.certificate.exists() and self.key.exists()


@dataclass(frozen=True)
class Facts:
    """What a certificate says. Times are Unix times."""

    common_name: str
    names: tuple[str, ...]
    not_before: float
    not_after: float

    def is_spent(self, now: float) -> bool:
        """True in the second half of its life: time for a new one."""
        return now >= self.not_after - LEAF_DAYS * 86_400 / 2


class Site:
    """The directory that holds an authority and what it has made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def ca(self) -> Pair:
        """The authority."""
        return Pair(self.directory / "ca.pem", self.directory / "ca.key")

    @property
    def tokens(self) -> Path:
        """The tokens file: digests only."""
        return self.directory / "tokens"

    def token(self, name: str) -> Path:
        """A token in clear, for the client that shows it."""
        return self.directory / f"{name}.token"

    def pair(self, kind: Kind, name: str = "") -> Pair:
        """Where the certificate of a dispatcher, worker or client is."""
        if kind == "server":
            stem = self.directory / "dispatcher"
        else:
            stem = self.directory / f"{kind}s" / quote(name, safe=" @+")
        return Pair(stem.with_name(stem.name + ".pem"), stem.with_name(stem.name + ".key"))

    def make_ca(self, name: str, now: float) -> None:
        """A new authority. Everything signed by an older one is worthless afterwards."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begin = _moment(now) - _BACKDATED
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        _write_pair(self.ca, builder.sign(key, hashes.SHA256()), key)

    def make(
        self,
        kind: Kind,
        name: str,
        *,
        names: Iterable[str],
        now: float,
        days: int = LEAF_DAYS,
    ) -> None:
        """A new key and certificate, signed by the authority; an older pair is replaced.

        Raises:
            StartError: there is no authority, or it has expired.

        """
        authority, signing_key = self._authority()
        end = min(_moment(now) + datetime.timedelta(days=days), authority.not_valid_after_utc)
        if end <= _moment(now):
            raise StartError(
                f"the certificate authority {self.ca.certificate} has expired; make a new one with "
                "virtscale certs init --force, and everything it signed anew"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if kind == "server" else (
            ExtendedKeyUsageOID.CLIENT_AUTH
        )  # fmt: skip
        issuer_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            # 64 characters are what X.509 allows; the whole name is among the alternative ones.
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(authority.not_valid_before_utc)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), False
            )
        )
        _write_pair(self.pair(kind, name), builder.sign(signing_key, hashes.SHA256()), key)

    def has_signed(self, pair: Pair) -> bool:
        """True when the present authority has signed the pair's certificate."""
        authority, _ = self._authority()
        try:
            _load(pair.certificate).verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if not self.ca.exists:
            raise StartError(
                f"there is no certificate authority in {self.directory}; make one with: "
                "virtscale certs init"
            )
        certificate = _load(self.ca.certificate)
        try:
            key = serialization.load_pem_private_key(self.ca.key.read_bytes(), None)
        except (ValueError, TypeError):
            raise StartError(f"{self.ca.key}: holds no private key without passphrase") from None
        except OSError as error:
            raise StartError(f"{self.ca.key}: {error.strerror}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StartError(f"{self.ca.key}: is no key on an elliptic curve; virtscale made none")
        return certificate, key


def server_names(hosts: Iterable[str]) -> list[str]:
    """Alternative names of a dispatcher that is reached by `hosts` and from this machine."""
    return list(dict.fromkeys([*SERVER_NAMES, *hosts, _DISPATCHER]))


def worker_names(worker_id: str) -> list[str]:
    """Alternative names of a worker's certificate."""
    return [_WORKER + quote(worker_id, safe="")]


def client_names(name: str, roles: Sequence[str]) -> list[str]:
    """Alternative names of a client's certificate that gives roles."""
    return [_CLIENT + quote(name, safe=""), *(_ROLE + role for role in roles)]


def facts(certificate: Path) -> Facts:
    """What a certificate says.

    Raises:
        StartError: the file cannot be read or holds none.

    """
    found = _load(certificate)
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Facts(
        common_name=str(common[0].value) if common else "",
        names=tuple(str(name.value) for name in names),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
    )


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file in one step; its owner alone may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_pair(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(pair.key, pem)
    write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    pair.certificate.chmod(0o644)


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise StartError(f"{path}: holds no certificate") from None


def _name(text: str) -> x509.GeneralName:
    if text.startswith("urn:"):
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(now: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(now), datetime.UTC)
