"""Settings from flags, the environment and systemd credentials; every fault is one clear sentence.

A flag beats the environment, which beats a credential. `argparse` costs boot time; this table of
flags does the same job for a dozen of them.
"""

import binascii
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from guest_worker.logs import LEVELS

MAX_SLOTS = 256
MAX_PREFETCH = 16_384
MAX_SECRET_BYTES = 4096

USAGE = """\
usage: python -m guest_worker [flags]

Runs inside a domain: takes licence numbers from a dispatcher, hashes them, returns the results.

  --dispatcher HOST:PORT    where the dispatcher listens      $VIRTSCALE_DISPATCHER
  --worker-id NAME          this worker; a domain's name      $VIRTSCALE_WORKER_ID
  --join-token-file FILE    file with the join token          ($VIRTSCALE_JOIN_TOKEN: the token)
  --generation DIGEST       image this guest runs from        $VIRTSCALE_GENERATION
  --slots N                 jobs at a time, default: vCPUs    $VIRTSCALE_SLOTS
  --prefetch N              jobs waiting here, default: below $VIRTSCALE_PREFETCH
  --tls-ca PEM              trust this CA and use TLS         $VIRTSCALE_TLS_CA
  --tls-cert PEM            this worker's certificate (mTLS)  $VIRTSCALE_TLS_CERT
  --tls-key PEM             and its key                       $VIRTSCALE_TLS_KEY
  --insecure                allow plain text off loopback     $VIRTSCALE_INSECURE=1
  --loglevel LEVEL          debug, info, warning or error     $VIRTSCALE_LOGLEVEL
  --logfile FILE            append the log here, not stderr   $VIRTSCALE_LOGFILE
  --check-config            check the settings and exit
  --help                    this text

Without --prefetch, as many jobs wait here as take 10 ms: 1 to 32 per slot, 1 when they are heavy
(argon2id, or with a load). With a number, heavy ones wait here too while other workers are idle.

PEM is a file, or the PEM text itself, plain or in base64. With a certificate no join token is
needed. With systemd, what says who the worker is may be credentials in $CREDENTIALS_DIRECTORY:
virtscale.dispatcher, .worker-id, .join-token, .generation, .tls-ca, .tls-cert, .tls-key.
"""

# name -> environment variable; the flag is "--" + name.
_VALUES = {
    "dispatcher": "VIRTSCALE_DISPATCHER",
    "worker-id": "VIRTSCALE_WORKER_ID",
    "join-token-file": "VIRTSCALE_JOIN_TOKEN_FILE",
    "generation": "VIRTSCALE_GENERATION",
    "slots": "VIRTSCALE_SLOTS",
    "prefetch": "VIRTSCALE_PREFETCH",
    "tls-ca": "VIRTSCALE_TLS_CA",
    "tls-cert": "VIRTSCALE_TLS_CERT",
    "tls-key": "VIRTSCALE_TLS_KEY",
    "loglevel": "VIRTSCALE_LOGLEVEL",
    "logfile": "VIRTSCALE_LOGFILE",
}
_SWITCHES = {"insecure", "check-config", "help"}
_PEMS = {"tls-ca": b"CERTIFICATE-----", "tls-cert": b"CERTIFICATE-----", "tls-key": b"KEY-----"}
_CREDENTIALS = ("dispatcher", "worker-id", "join-token", "generation", *_PEMS)
_PEM_BEGIN, _PEM_BEGIN_BASE64 = "-----BEGIN ", "LS0tLS1CRUdJTi"

# Loopback, and 10.0.2.2: the host's loopback as a guest on QEMU's user-mode network sees it.
_LOCAL_HOSTS = {"localhost", "[::1]", "10.0.2.2"}


class ConfigError(Exception):
    """All faults found in the settings, one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Config(NamedTuple):
    """What the worker runs with. PEM texts, not paths; `prefetch` in jobs, None: to fit."""

    dispatcher: str
    worker_id: str
    join_token: str
    generation: str
    slots: int
    prefetch: int | None
    tls_ca: bytes | None
    tls_cert: bytes | None
    tls_key: bytes | None
    loglevel: str
    logfile: str
    check_only: bool
    show_help: bool

    def __repr__(self) -> str:
        return f"Config({self.dispatcher!r}, {self.worker_id!r}, slots={self.slots})"


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """The checked settings. ConfigError lists every fault at once."""
    faults: list[str] = []
    flags = _parse(arguments, faults)
    if "help" in flags:
        return Config("", "", "", "", 1, None, None, None, None, "info", "", False, True)
    given = _gather(flags, environment, faults)
    slots = _number(given, "slots", 1, MAX_SLOTS, len(os.sched_getaffinity(0)), faults)
    has_prefetch = "prefetch" in given
    config = Config(
        dispatcher=_dispatcher(given, faults),
        worker_id=_required(given, "worker-id", "the domain's name", faults),
        join_token=_token(given, environment, faults),
        generation=given.get("generation", ""),
        slots=slots,
        prefetch=_number(given, "prefetch", 0, MAX_PREFETCH, 0, faults) if has_prefetch else None,
        tls_ca=_pem(given, "tls-ca", faults),
        tls_cert=_pem(given, "tls-cert", faults),
        tls_key=_pem(given, "tls-key", faults),
        loglevel=given.get("loglevel", "info"),
        logfile=given.get("logfile", ""),
        check_only="check-config" in flags,
        show_help=False,
    )
    if config.loglevel not in LEVELS:
        faults.append(f"loglevel: {config.loglevel!r} is not one of {', '.join(LEVELS)}")
    _check_security(config, given, faults)
    if faults:
        raise ConfigError(faults)
    return config


def _parse(arguments: Sequence[str], faults: list[str]) -> dict[str, str]:
    flags: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument == "-h":
            flags["help"] = ""
        elif not argument.startswith("--") or name not in (*_VALUES, *_SWITCHES):
            faults.append(f"{argument}: no such flag; --help lists them")
        elif name in _SWITCHES:
            if equals:
                faults.append(f"--{name}: takes no value")
            flags[name] = "1"
        else:
            value = value if equals else next(rest, "")
            if not value:
                faults.append(f"--{name}: needs a value")
            flags[name] = value
    return flags


def _gather(
    flags: Mapping[str, str], environment: Mapping[str, str], faults: list[str]
) -> dict[str, str]:
    given: dict[str, str] = {}
    directory = environment.get("CREDENTIALS_DIRECTORY", "")
    for name in _CREDENTIALS if directory else ():
        path = os.path.join(directory, f"virtscale.{name}")
        if os.path.exists(path):
            given[name] = _read(path, f"credential virtscale.{name}", faults).decode().strip()
    for name, variable in _VALUES.items():
        if environment.get(variable):
            given[name] = environment[variable]
    given.update({name: value for name, value in flags.items() if name in _VALUES})
    switch = environment.get("VIRTSCALE_INSECURE", "").lower()
    if switch not in ("", "0", "1", "false", "true"):
        faults.append(f"VIRTSCALE_INSECURE: {switch!r} is not 0 or 1")
    if "insecure" in flags or switch in ("1", "true"):
        given["insecure"] = "1"
    return given


def _dispatcher(given: Mapping[str, str], faults: list[str]) -> str:
    address = _required(given, "dispatcher", "HOST:PORT", faults)
    host, _, port = address.rpartition(":")
    if address and not (host and port.isdecimal() and 0 < int(port) < 65536):
        faults.append(f"dispatcher: {address!r} is not HOST:PORT, for example 10.0.2.2:15051")
    elif ":" in host and not (host.startswith("[") and host.endswith("]")):
        faults.append(f"dispatcher: {address!r}: put an IPv6 address in brackets, [::1]:15051")
    return address


def _token(given: Mapping[str, str], environment: Mapping[str, str], faults: list[str]) -> str:
    """The join token. Never quoted in a fault."""
    if path := given.get("join-token-file"):
        token = _read(path, "join-token-file", faults).decode("ascii", "replace").strip()
        if not token:
            faults.append(f"join-token-file: {path} is empty")
    else:
        token = environment.get("VIRTSCALE_JOIN_TOKEN") or given.get("join-token", "")
        if not token and "tls-cert" not in given:
            faults.append(
                "join-token: missing; set --join-token-file, $VIRTSCALE_JOIN_TOKEN"
                " or the credential virtscale.join-token, or give a certificate with --tls-cert"
            )
    if not (token.isascii() and token.isprintable()):
        faults.append("join-token: has characters that no token has")
    return token


def _required(given: Mapping[str, str], name: str, what: str, faults: list[str]) -> str:
    value = given.get(name, "")
    if not value:
        faults.append(
            f"{name}: missing ({what}); set --{name}, ${_VALUES[name]}"
            f" or the credential virtscale.{name}"
        )
    elif len(value) > 255 or not value.isprintable():
        faults.append(f"{name}: must be at most 255 printable characters")
    return value


def _number(
    given: Mapping[str, str], name: str, low: int, high: int, default: int, faults: list[str]
) -> int:
    text = given.get(name)
    if text is None:
        return min(high, default)
    if not (text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
        faults.append(f"{name}: {text!r} is not a whole number from {low} to {high}")
        return default
    return int(text)


def _pem(given: Mapping[str, str], name: str, faults: list[str]) -> bytes | None:
    """The PEM text that a setting is or names. Never quoted in a fault: it may be a key."""
    if name not in given:
        return None
    value = given[name]
    if value.startswith(_PEM_BEGIN):
        pem = value.encode()
    elif value.startswith(_PEM_BEGIN_BASE64):
        try:
            pem = binascii.a2b_base64(value)
        except binascii.Error:
            pem = b""
    elif len(value) > 255 or "\n" in value:
        pem = b""
    else:
        before = len(faults)
        pem = _read(value, name, faults)
        if len(faults) > before:
            return pem
    if _PEMS[name] not in pem:
        kind = "private key" if name == "tls-key" else "certificate"
        faults.append(f"{name}: holds no PEM {kind}; give a file, or its text, plain or in base64")
    return pem


def _read(path: str, name: str, faults: list[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except OSError as error:
        faults.append(f"{name}: cannot read {path}: {error.strerror}")
        return b""
    return data


def _check_security(config: Config, given: Mapping[str, str], faults: list[str]) -> None:
    if (config.tls_cert is None) != (config.tls_key is None):
        faults.append("tls-cert, tls-key: give both or neither")
    if config.tls_cert is not None and config.tls_ca is None:
        faults.append("tls-cert: needs --tls-ca too")
    host = config.dispatcher.rpartition(":")[0]
    is_local = host in _LOCAL_HOSTS or host.startswith("127.")
    if config.tls_ca is None and not is_local and host and "insecure" not in given:
        faults.append(
            f"dispatcher: {host} is not this machine and the stream would not be encrypted;"
            " set --tls-ca FILE, or --insecure on a network you trust"
        )
