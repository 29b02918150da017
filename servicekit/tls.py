"""gRPC credentials from PEM files, and the rule for listeners off loopback."""

import ipaddress
import re
from pathlib import Path

import grpc

from servicekit.config import ConfigError, Settings


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


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Server credentials; with `client_ca` clients must show a certificate.

    Raises:
        ConfigError: a file is missing or unreadable.

    """
    chain, key = _read(files.certificate, "tls.certificate"), _read(files.key, "tls.key")
    root = None if files.client_ca is None else _read(files.client_ca, "tls.client_ca")
    return grpc.ssl_server_credentials(
        [(key, chain)], root_certificates=root, require_client_auth=root is not None
    )


def channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Client credentials; without `client_ca` the system's trust store is used."""
    root = None if files.client_ca is None else _read(files.client_ca, "tls.client_ca")
    if files.certificate is None:
        return grpc.ssl_channel_credentials(root_certificates=root)
    return grpc.ssl_channel_credentials(
        root_certificates=root,
        private_key=_read(files.key, "tls.key"),
        certificate_chain=_read(files.certificate, "tls.certificate"),
    )


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


def _read(path: Path | None, field: str) -> bytes:
    if path is None:
        raise ConfigError([f"{field} is not set; TLS needs a certificate and its key"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{field} = {path}: {error.strerror}"]) from None
    # gRPC takes any bytes and fails at the first connection, far from the cause.
    kind = "private key" if field == "tls.key" else "certificate"
    if not re.search(rf"-----BEGIN [A-Z ]*{kind.upper()}-----".encode(), content):
        raise ConfigError([f"{field} = {path}: holds no PEM {kind}"])
    return content
