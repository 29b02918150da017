"""Opens the channel: address, TLS, token."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from virtscale.client.errors import InvalidRequestError

Token = str | Callable[[], str]
"""A bearer token, or what returns the current one (asked at every call, so tokens may rotate)."""

_OPTIONS = (
    # A dispatcher that restarts must be found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Whatever the host's proxy settings: numbers go to the dispatcher and to nobody else.
    ("grpc.enable_http_proxy", 0),
    # A dispatcher that froze, or a network that swallows, is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without it grpc waits a minute for a ping's answer, whatever keepalive_timeout_ms says.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Lists of 1,000 jobs with long references.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a TLS connection. Without `ca` the system's trust store is used."""

    ca: Path | None = None
    """Certificates that the dispatcher's must be signed by."""
    certificate: Path | None = None
    """This client's certificate chain, where the dispatcher asks for one."""
    key: Path | None = None
    """Its private key."""


def open_channel(address: str, tls: Tls | None, is_insecure: bool) -> grpc.aio.Channel:
    """A channel; it connects at the first call.

    Raises:
        InvalidRequestError: the address is malformed or that of another host, without TLS and
            without the word that this is accepted; or a PEM file cannot be read.

    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65_535:
        raise _fault(f"dispatcher address {address!r}: must be HOST:PORT")
    if tls is not None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_read(tls.ca, "ca"),
            private_key=_read(tls.key, "key"),
            certificate_chain=_read(tls.certificate, "certificate"),
        )
        return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
    if not is_insecure and not _is_loopback(host.strip("[]")):
        raise _fault(
            f"dispatcher {address} is another host, and numbers are not sent in clear; give its "
            "certificate authority (tls, --ca FILE), or accept the risk (insecure, --insecure)"
        )
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


def authorization(token: Token | None) -> tuple[tuple[str, str], ...]:
    """The metadata that every call carries.

    Raises:
        InvalidRequestError: the token cannot be sent. The text does not show it.

    """
    if token is None:
        return ()
    value = token if isinstance(token, str) else token()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise _fault(
            f"token of {len(value)} characters: must be printable ASCII without spaces; read it "
            "from its file without the line's end"
        )
    return (("authorization", f"Bearer {value}"),)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: Path | None, field: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise _fault(f"--{field} {path}: cannot be read: {error.strerror}") from None


def _fault(text: str) -> InvalidRequestError:
    return InvalidRequestError("INVALID_ARGUMENT", text)
