"""What a domain tells its guest about TLS: PEM texts as one line each, and as libvirt XML."""

import base64
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from stack.certificates import Site

_CREDENTIAL = "io.systemd.credential:virtscale."


@dataclass(frozen=True)
class GuestTls:
    """PEM texts of a worker's certificate and key and of the authority."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    def credentials(self) -> dict[str, str]:
        """Credentials by name, in base64: they travel in strings of one line."""
        pems = {"tls-ca": self.ca, "tls-cert": self.certificate, "tls-key": self.key}
        return {name: base64.b64encode(pem).decode("ascii") for name, pem in pems.items()}


def read(site: Site, worker_id: str) -> GuestTls:
    """A worker's part of what the site has made.

    Raises:
        OSError: a file is missing.

    """
    pair = site.pair("worker", worker_id)
    return GuestTls(
        site.ca.certificate.read_bytes(), pair.certificate.read_bytes(), pair.key.read_bytes()
    )


def entries(worker_id: str, tls: GuestTls) -> str:
    """The `<entry>` lines for the `<oemStrings>` of the worker's domain."""
    strings = {"worker-id": worker_id, **tls.credentials()}
    return "\n".join(
        f"<entry>{escape(f'{_CREDENTIAL}{name}={value}')}</entry>"
        for name, value in strings.items()
    )
