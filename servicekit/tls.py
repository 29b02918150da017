"""TLS and tokens of the host services: files to gRPC credentials, and files that change.

gRPC takes any bytes for a certificate and fails at the first connection, far from the cause, so
everything is checked here: that it is PEM, that key and certificate belong together, that the time
is right. A file that has become bad never replaces one that was good.
"""

import calendar
import ipaddress
import re
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from servicekit.config import ConfigError, Settings

if TYPE_CHECKING:
    import grpc  # Only who connects needs it; it is 10 MB.

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED")
_MAX_TOKEN_BYTES = 4096
_HINTS = (
    ("WRONG_VERSION_NUMBER", "that port speaks no TLS: leave the CA out, or use another port"),
    ("certificate has expired", "its certificate has expired"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by the CA that was given"),
    ("Hostname Verification", "its certificate does not name this address"),
    ("Socket closed", "that port may want TLS (give its CA) or a client certificate"),
)


class FieldNames(NamedTuple):
    """What the operator calls the files, for errors."""

    certificate: str = "certificate"
    key: str = "key"
    client_ca: str = "client_ca"


_USUAL_NAMES = FieldNames()


class TlsFiles(Settings):
    """PEM files of one side of a TLS connection."""

    certificate: Path | None = None
    """This side's certificate chain."""
    key: Path | None = None
    """This side's private key."""
    client_ca: Path | None = None
    """Server: certificates that clients must be signed by (mTLS). Client: the server's CA."""

    @property
    def is_set(self) -> bool:
        """True when a certificate is configured."""
        return self.certificate is not None

    @property
    def is_mutual(self) -> bool:
        """Of a server: True when clients must show a certificate."""
        return self.is_set and self.client_ca is not None

    @property
    def paths(self) -> list[Path]:
        """The files that are set."""
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


@dataclass(frozen=True)
class Pems:
    """What one side's files hold, checked. `not_after` is Unix time: the earliest end."""

    chain: bytes
    key: bytes = field(repr=False)
    root: bytes | None
    not_after: float


def read_pems(files: TlsFiles, name: str, *, now: float, fields: FieldNames = _USUAL_NAMES) -> Pems:
    """Reads and checks one side's certificate, key and, where set, the other side's CA.

    `name` is the setting that holds the files, such as `tls`; `now` is Unix time.

    Raises:
        ConfigError: with every fault found.

    """
    faults: list[str] = []
    certificate = f"{name}.{fields.certificate}"
    chain = _certificate(files.certificate, certificate, now, faults)
    key = _read(files.key, f"{name}.{fields.key}", faults)
    root = None
    if files.client_ca is not None:
        root = _certificate(files.client_ca, f"{name}.{fields.client_ca}", now, faults)
    where = f"{name}.{fields.key} = {files.key}"
    if key and not _KEY.search(key):
        faults.append(f"{where}: holds no PEM private key")
    elif key and _ENCRYPTED.search(key):
        faults.append(f"{where}: is encrypted; give a key without a passphrase")
    elif key and chain and not faults and not _belong_together(files):
        faults.append(f"{where}: is not the key of {certificate} = {files.certificate}")
    if faults:
        raise ConfigError(faults)
    ends = [_validity(block)[1] for block in _blocks(chain) + _blocks(root or b"")]
    return Pems(chain, key, root, min(ends))


class ServerTls:
    """A listener's credentials. New connections use the files as they were last read and good."""

    def __init__(self, files: TlsFiles, name: str, *, now: float, protocol: str = "h2") -> None:
        """See `read_pems`. `protocol` is what is spoken on top: `h2` or `http/1.1` (ALPN)."""
        self.files = files
        self.name = name
        self.protocol = protocol
        self.reload(now=now)

    @property
    def not_after(self) -> float:
        """Unix time at which the first of the certificates in use ends."""
        return self._not_after

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake; clients must show a certificate when a CA is set."""
        return self._context

    def reload(self, *, now: float) -> None:
        """Reads the files again.

        Raises:
            ConfigError: they cannot be used; those in use stay.

        """
        pems = read_pems(self.files, self.name, now=now)
        self._context = _server_context(self.files, self.name, pems, self.protocol)
        self._not_after = pems.not_after


class FileWatch:
    """Notices that files have changed and stand still: a pair is not replaced in one instant."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._known = self._last = self._signature()

    def has_changed(self) -> bool:
        """True once per change, at the second look that finds the same new state."""
        present = self._signature()
        is_settled = present == self._last
        self._last = present
        if not is_settled or present == self._known:
            return False
        self._known = present
        return True

    def _signature(self) -> tuple[object, ...]:
        return tuple(_state(path) for path in self._paths)


class TokenFile:
    """The token a client shows; read again when its file changes."""

    def __init__(self, path: Path) -> None:
        """Reads the token.

        Raises:
            ConfigError: there is none in the file.

        """
        self._path = path
        self._known: object = None
        self._token = ""
        self.read()

    def read(self) -> str:
        """The token as it is now; the one known before while the file cannot be used."""
        state = _state(self._path)
        if state != self._known:
            try:
                self._token = _token(self._path)
                self._known = state
            except ConfigError:
                if not self._token:
                    raise
        return self._token

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The header of a call."""
        return (("authorization", f"Bearer {self.read()}"),)


def channel_credentials(files: TlsFiles, name: str = "tls") -> "grpc.ChannelCredentials":
    """Client credentials; without `client_ca` the system's trust store is used.

    Raises:
        ConfigError: with every fault found in the files.

    """
    import grpc

    if files.certificate is not None or files.key is not None:
        pems = read_pems(files, name, now=time.time())
        return grpc.ssl_channel_credentials(pems.root, pems.key, pems.chain)
    faults: list[str] = []
    root = None
    if files.client_ca is not None:
        root = _certificate(files.client_ca, f"{name}.client_ca", time.time(), faults)
    if faults:
        raise ConfigError(faults)
    return grpc.ssl_channel_credentials(root)


def handshake_hint(details: str) -> str:
    """What gRPC's text of a failed connection means, as `; ...`; empty when it says nothing."""
    return next((f"; {hint}" for words, hint in _HINTS if words in details), "")


def is_loopback(host: str) -> bool:
    """True for addresses that no other machine can reach."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES + 1).decode("ascii").strip()
    except OSError as error:
        raise ConfigError([f"token file {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"token file {path}: is not text; write the token, nothing else"]) from (
            None
        )
    if not token or len(token) > _MAX_TOKEN_BYTES or len(token.split()) > 1:
        raise ConfigError([f"token file {path}: must hold one token, nothing else"])
    return token


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path | None, name: str, faults: list[str]) -> bytes:
    """The file's content; empty after a fault."""
    if path is None:
        faults.append(f"{name} is not set; TLS needs a certificate and its key")
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        faults.append(f"{name} = {path}: {error.strerror}")
        return b""


def _certificate(path: Path | None, name: str, now: float, faults: list[str]) -> bytes:
    before = len(faults)
    content = _read(path, name, faults)
    if len(faults) > before:
        return b""
    blocks = _blocks(content)
    try:
        if not blocks:
            raise ValueError
        spans = [_validity(block) for block in blocks]
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (ValueError, ssl.SSLError):
        faults.append(f"{name} = {path}: holds no PEM certificate")
        return b""
    for begin, end in spans:
        if now >= end:
            faults.append(f"{name} = {path}: expired on {_day(end)}; renew it")
        elif now < begin:
            faults.append(f"{name} = {path}: is not valid before {_day(begin)}; check the clock")
    return content if len(faults) == before else b""


def _server_context(files: TlsFiles, name: str, pems: Pems, protocol: str) -> ssl.SSLContext:
    assert files.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # What HTTP/2 allows with TLS 1.2 (RFC 9113, appendix A); those of 1.3 are not named here.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols([protocol])
    # No resumed sessions: each connection shows its certificate to the authority of its time.
    context.options |= ssl.OP_NO_TICKET
    context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113, 9.2.1
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError([f"{name}.certificate = {files.certificate}: {error}"]) from None
    if pems.root is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=pems.root.decode("ascii"))
    return context


def _belong_together(files: TlsFiles) -> bool:
    assert files.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (ssl.SSLError, OSError):
        return False
    return True


def _blocks(pem: bytes) -> list[bytes]:
    return _BLOCK.findall(pem)


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


# --- X.509: only the two times are needed, and the standard library does not give them ------------


def _validity(block: bytes) -> tuple[float, float]:
    """Begin and end of a certificate, as Unix times.

    Raises:
        ValueError: this is no certificate.

    """
    der = ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
    try:
        _, start, _ = _element(der, 0)
        _, at, _ = _element(der, start)
        tag, _, end = _element(der, at)
        skipped = 4 if tag == 0xA0 else 3  # version (optional), serial, algorithm, issuer
        for _ in range(skipped):
            _, _, end = _element(der, at)
            at = end
        _, at, _ = _element(der, at)
        times = []
        for _ in range(2):
            tag, begin, end = _element(der, at)
            times.append(_time(tag, der[begin:end].decode("ascii")))
            at = end
    except (IndexError, UnicodeDecodeError):
        raise ValueError("no certificate") from None
    return times[0], times[1]


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, begin of the content, end of the content."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    if begin + length > len(der):
        raise ValueError("cut short")
    return der[at], begin, begin + length


def _time(tag: int, text: str) -> float:
    if tag == 0x17:  # UTCTime: two digits of the year, of which 50 to 99 are 19xx
        text = ("19" if text[:2] >= "50" else "20") + text
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
