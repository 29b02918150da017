"""The web config file of Prometheus's exporters: what may stand in it.

The same keys as prometheus/exporter-toolkit reads, so that one file serves all exporters of a host.
What cannot be kept here is a fault, never silently weaker: a check of certificates that OpenSSL
does not offer, versions of TLS that RFC 8996 retires.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from servicekit.config import ConfigError, Contradiction, ContradictionError, Settings, load

# The last letter of the salt carries four bits that must be empty.
_HASH = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_HIGHEST_COST = 16
"""Beyond it one password takes seconds."""
_LOWEST_COST = 4
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""The headers that may be set, and their values where there are few."""
_PRINTABLE = re.compile(r"[\t\x20-\x7e]*")
_CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""From IANA's names to OpenSSL's; those of TLS 1.2 that still count as good."""
_TLS13_CIPHERS = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""Always offered; naming them changes nothing."""


def _hash(value: SecretStr) -> SecretStr:
    match = _HASH.fullmatch(value.get_secret_value())
    if match is None:
        raise ValueError("must be a bcrypt hash, such as `htpasswd -nBC 10 NAME` prints")
    if not _LOWEST_COST <= int(match["cost"]) <= _HIGHEST_COST:
        raise ValueError(
            f"must be a bcrypt hash of a cost from {_LOWEST_COST} to {_HIGHEST_COST}: "
            "each further one doubles the time that a password takes"
        )
    return value


def _cipher(value: str) -> str:
    if value not in _CIPHERS and value not in _TLS13_CIPHERS:
        raise ValueError(f"must be one of {', '.join(sorted(_CIPHERS))}")
    return value


def _version(value: Any) -> Any:
    if value in ("TLS10", "TLS11"):
        raise ValueError("must be TLS12 or TLS13; older versions are broken (RFC 8996)")
    return value


def _auth_type(value: Any) -> Any:
    if value in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"):
        raise ValueError(
            "is not supported: a certificate that nobody verifies proves nothing; "
            "use RequireAndVerifyClientCert or VerifyClientCertIfGiven"
        )
    return "NoClientCert" if value == "" else value


def _inline(value: Any) -> None:
    if value is None:
        return
    raise ValueError("is not supported in the file itself; put it into a file of its own")


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _DURATION.fullmatch(value):
        raise ValueError("must be a duration such as 500ms, 1s or 1m30s")
    return sum(
        float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(value)
    )


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        allowed = _HEADERS.get(name)
        if allowed is None:
            raise ValueError(f"header {name} cannot be set; known: {', '.join(_HEADERS)}")
        if allowed and text not in allowed:
            raise ValueError(f"header {name} must be one of {', '.join(allowed)}")
        if not _PRINTABLE.fullmatch(text):
            raise ValueError(f"header {name} must be printable ASCII on one line")
    return value


_Inline = Annotated[SecretStr | None, BeforeValidator(_inline)]
_Version = Annotated[Literal["TLS12", "TLS13"], BeforeValidator(_version)]


class TlsServerSettings(Settings):
    """`tls_server_config`."""

    cert_file: Path | None = None
    """PEM file of the server's certificate chain."""
    key_file: Path | None = None
    """PEM file of its key."""
    client_auth_type: Annotated[
        Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"],
        BeforeValidator(_auth_type),
    ] = "NoClientCert"
    """Whether clients show certificates."""
    client_ca_file: Path | None = None
    """PEM file of what clients' certificates must be signed by."""
    client_allowed_sans: tuple[str, ...] | None = None
    """Alternative names of which a client's certificate must have one."""
    min_version: _Version = "TLS12"
    max_version: _Version = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(_cipher)], ...] = ()
    """For TLS 1.2, by IANA's names."""
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...] = ()
    """At most one can be named here."""
    cert: _Inline = None
    key: _Inline = None
    client_ca: _Inline = None

    @model_validator(mode="after")
    def _agrees(self) -> "TlsServerSettings":
        def missing(field: str) -> Contradiction:
            return Contradiction((field,), f"tls_server_config: {field} is not set; TLS needs it")

        is_verified = self.client_auth_type != "NoClientCert"
        found = [
            missing(field)
            for field, is_needed in (
                ("cert_file", True),
                ("key_file", True),
                ("client_ca_file", is_verified),
            )
            if is_needed and getattr(self, field) is None
        ]
        if self.client_ca_file is not None and not is_verified:
            text = "client_ca_file does nothing without a client_auth_type that verifies; "
            text += "set RequireAndVerifyClientCert"
            found.append(Contradiction(("client_ca_file", "client_auth_type"), text))
        if self.client_allowed_sans is not None and not self.must_show_certificate:
            text = "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"
            found.append(Contradiction(("client_allowed_sans", "client_auth_type"), text))
        if self.min_version > self.max_version:
            text = f"min_version {self.min_version} is above max_version {self.max_version}"
            found.append(Contradiction(("min_version", "max_version"), text))
        if len(self.curve_preferences) > 1:
            text = "curve_preferences: at most one can be named here; leave it out for the usual"
            found.append(Contradiction(("curve_preferences",), text))
        if found:
            raise ContradictionError(found)
        return self

    @property
    def must_show_certificate(self) -> bool:
        """True when clients without a certificate are refused."""
        return self.client_auth_type == "RequireAndVerifyClientCert"

    @property
    def openssl_ciphers(self) -> str:
        """`cipher_suites` as OpenSSL writes them; empty for its own choice."""
        return ":".join(_CIPHERS[name] for name in self.cipher_suites if name in _CIPHERS)


class HttpServerSettings(Settings):
    """`http_server_config`."""

    http2: bool = True
    """Taken and without effect: HTTP/1.1 is spoken, which every client of HTTP/2 falls back to."""
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Headers of every answer."""


class RateLimitSettings(Settings):
    """`rate_limit`: a token bucket over all requests."""

    interval: Annotated[float, BeforeValidator(_duration), Field(ge=0, le=3600)] = 0.0
    """Seconds per request; 0 for no limit."""
    burst: Annotated[int, Field(ge=0)] = 0
    """How many may come at once."""

    @model_validator(mode="after")
    def _agrees(self) -> "RateLimitSettings":
        if self.interval > 0 and self.burst < 1:
            text = "rate_limit.burst must be at least 1, or every request is refused"
            raise ContradictionError([Contradiction(("burst", "interval"), text)])
        return self


class WebSettings(Settings):
    """The whole file."""

    tls_server_config: TlsServerSettings | None = None
    http_server_config: HttpServerSettings = HttpServerSettings()
    basic_auth_users: dict[str, Annotated[SecretStr, AfterValidator(_hash)]] = Field(
        default_factory=dict
    )
    """bcrypt hashes of passwords by user; empty when nobody is asked."""
    rate_limit: RateLimitSettings = RateLimitSettings()


def read(path: Path) -> WebSettings:
    """Reads a web config file. Relative paths in it begin at its directory.

    Raises:
        ConfigError: with every fault found.

    """
    if not path.is_file():
        reason = "is a directory" if path.is_dir() else "no such file"
        raise ConfigError([f"{path}: {reason}; check the path given with --web.config.file"])
    settings = load(WebSettings, path=path, environ={}, prefix="", flags={})
    tls = settings.tls_server_config
    if tls is None:
        return settings
    names = ("cert_file", "key_file", "client_ca_file")
    absolute = {
        name: path.parent / file for name in names if (file := getattr(tls, name)) is not None
    }
    return settings.model_copy(update={"tls_server_config": tls.model_copy(update=absolute)})
