"""From the settings of the web config file to a context for handshakes, everything checked."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from collector.web.configuration import TlsServerSettings
from servicekit.config import ConfigError
from servicekit.tls import FieldNames, TlsFiles, read_pems

_NAME = "tls_server_config"
_FIELDS = FieldNames("cert_file", "key_file", "client_ca_file")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_NAME_KINDS = frozenset({"DNS", "email", "IP Address", "URI"})


def files(settings: TlsServerSettings) -> list[Path]:
    """The files whose change matters."""
    named = (settings.cert_file, settings.key_file, settings.client_ca_file)
    return [file for file in named if file is not None]


def server_context(settings: TlsServerSettings, *, now: float) -> tuple[ssl.SSLContext, float]:
    """A context for the handshakes to come, and when the first certificate in it ends (Unix time).

    Raises:
        ConfigError: with every fault found in the files.

    """
    pair = TlsFiles(
        certificate=settings.cert_file, key=settings.key_file, client_ca=settings.client_ca_file
    )
    pems = read_pems(pair, _NAME, now=now, fields=_FIELDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.maximum_version = _VERSIONS[settings.max_version]
    context.set_alpn_protocols(["http/1.1"])
    # No resumed sessions: each connection shows its certificate to the authority of its time.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    if not settings.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        if settings.openssl_ciphers:
            context.set_ciphers(settings.openssl_ciphers)
        for curve in settings.curve_preferences:
            context.set_ecdh_curve(_CURVES[curve])
        assert settings.cert_file is not None
        context.load_cert_chain(settings.cert_file, settings.key_file)
        if pems.root is not None:
            context.load_verify_locations(cadata=pems.root.decode("ascii"))
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigError([f"{_NAME}: OpenSSL refuses it: {error}"]) from None
    context.verify_mode = _VERIFY[settings.client_auth_type]
    return context, pems.not_after


def has_allowed_name(certificate: Mapping[str, object] | None, allowed: frozenset[str]) -> bool:
    """Whether a verified certificate (`SSLObject.getpeercert`) has one of the `allowed` names."""
    names = (certificate or {}).get("subjectAltName", ())
    assert isinstance(names, tuple)
    return any(kind in _NAME_KINDS and name in allowed for kind, name in names)
