"""Configuration of the dispatcher."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dispatcher import hashing
from dispatcher.database import PostgresqlUrl, parse_database
from dispatcher.jobs import Profile
from dispatcher.numbers import MAX_BATCH
from dispatcher.plates import FormatName
from servicekit.config import ConfigError, Contradiction, ContradictionError, Settings
from servicekit.logs import Format, Level
from servicekit.tls import TlsFiles, is_loopback

ENV_PREFIX = "VIRTSCALE_DISPATCHER_"
IN_MEMORY = Path(":memory:")

_PROFILES = {
    "legacy-sha256": Profile.LEGACY_SHA256,
    "hmac-sha256": Profile.HMAC_SHA256,
    "argon2id": Profile.ARGON2ID,
}


def _state_directory() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "virtscale" / "dispatcher"


def _database(value: object) -> object:
    try:
        return parse_database(value)
    except ValueError as error:
        # In the manner of a contradiction, which does not show the value: it may hold a password.
        raise ContradictionError([Contradiction(("database",), f"database {error}")]) from None


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPV6]:PORT`.

    Raises:
        ValueError: for a person.

    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:15051")
    return host.strip("[]"), int(port)


class DispatcherSettings(Settings):
    """Everything that can be set."""

    listen: str = "127.0.0.1:15051"
    """Address of the gRPC listener for clients. Off loopback it needs `tls`, and `tokens_file` or
    `tls.client_ca`; or `insecure`."""
    listen_workers: str | None = None
    """Address of the gRPC listener for workers. Off loopback it needs `worker_tls` with
    `client_ca`, or `insecure`. Unset: workers use `listen` too."""
    listen_address: str = "127.0.0.1:9181"
    """Address of /metrics."""
    tls: TlsFiles = TlsFiles()
    """Certificate and key of `listen`; with `client_ca`, clients need a certificate too, and the
    roles it names count as a token's do."""
    worker_tls: TlsFiles = TlsFiles()
    """Certificate and key of `listen_workers`; with `client_ca`, each worker needs a certificate
    that names it."""
    tokens_file: Path | None = None
    """`<name> <roles> sha256:<hex>` lines: the tokens that clients must send. Unset, and without
    `tls.client_ca`: whoever reaches `listen` may do everything."""
    insecure: bool = False
    """Allow listeners off loopback without TLS or without asking who calls: anyone on the network
    can read the numbers."""
    database: Annotated[Path | PostgresqlUrl, BeforeValidator(_database)] = Field(
        default_factory=lambda: _state_directory() / "dispatcher.db"
    )
    """The store: a file, made when missing; or a PostgreSQL database, as
    `postgresql://USER@HOST/DATABASE` without a password. `:memory:` keeps nothing, for trying
    out."""
    database_password_file: Path | None = None
    """The password for a PostgreSQL database. Unset: what libpq finds (its passfile, PGPASSWORD),
    or none, by certificate or socket."""
    join_key_file: Path | None = None
    """32 random bytes that join tokens are made with. Unset: `join.key` beside the database's file,
    with PostgreSQL in the state directory, made when missing."""
    pepper_file: Path | None = None
    """`<key id>:<hex of at least 32 bytes>` lines, the current key first. Unset: only legacy-sha256
    is available."""
    number_formats: tuple[FormatName, ...] = Field(default=("in",), min_length=1)
    """Formats of the numbers that are accepted: a number must fit one of them. `in` is India, the
    others are listed in docs/OPERATIONS.md; `free` takes 1 to 64 printable characters."""
    scrub_memory: bool = False
    """Overwrite memory as it is freed, so that no number stays in it: costs about a quarter more
    CPU per job. For glibc."""
    default_profile: Literal["legacy-sha256", "hmac-sha256", "argon2id"] = "argon2id"
    """Profile of jobs that name none."""
    argon2_memory_kib: int = Field(default=19456, ge=8, le=65536)
    """Memory of one Argon2id hash, in KiB."""
    argon2_passes: int = Field(default=2, ge=1, le=10)
    """Passes of one Argon2id hash."""
    argon2_lanes: int = Field(default=1, ge=1, le=4)
    """Lanes of one Argon2id hash."""
    lease_ttl_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How long a lease lives without a heartbeat. A frozen worker is mostly given up earlier, when
    the keepalive of its connection goes unanswered."""
    heartbeat_interval_seconds: float = Field(default=2.0, gt=0, le=3600)
    """How often workers must give a sign of life."""
    reconnect_grace_seconds: float = Field(default=0.05, ge=0, le=60)
    """How long a worker whose stream broke keeps its leases. 0: they go back at once. It has to be
    long enough to connect again, no longer: every killed worker's jobs wait so long."""
    restart_grace_seconds: float = Field(default=5.0, ge=0, le=300)
    """How long, after a start, jobs from before wait for the workers that may still hold them."""
    max_attempts: int = Field(default=5, ge=1, le=1000)
    """How often a job may come back through its own fault or with a lost worker. One that came back
    with others is leased alone before it is given up, so that only the guilty one is."""
    max_unfinished_jobs: int = Field(default=1_000_000, ge=MAX_BATCH)
    """Above this, submissions are refused with RESOURCE_EXHAUSTED and streams are held back. Room
    for one batch of 1,000 at least."""
    disk_reserve_mib: int = Field(default=64, ge=0)
    """Below so much free disk, submissions are refused: the results of accepted jobs need room. Not
    for PostgreSQL, whose disk is seen by its server only."""
    results_kept_seconds: float | None = Field(default=None, ge=60)
    """How long done, failed and cancelled jobs are kept. Unset: for ever."""
    results_kept_count: int | None = Field(default=None, ge=0)
    """How many results, and how many cancelled jobs, are kept: the newest. Unset: all."""
    loglevel: Level = "info"
    """Least severe lines to write."""
    logfile: Path | None = None
    """Append logs here instead of standard error."""
    logformat: Format = "json"
    """json for machines, text for people."""

    @model_validator(mode="after")
    def _check(self) -> "DispatcherSettings":
        faults = [*self._address_faults(), *self._tls_faults()]
        if self.heartbeat_interval_seconds * 2 > self.lease_ttl_seconds:
            faults.append(
                "lease_ttl_seconds must be at least twice heartbeat_interval_seconds, or one late "
                "heartbeat loses a worker"
            )
        if not self.cost.is_bearable:
            faults.append("argon2_memory_kib must be at least 8 times argon2_lanes")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _address_faults(self) -> Iterator[str]:
        given = {"listen": self.listen, "listen_workers": self.listen_workers}
        taken: dict[tuple[str, int], str] = {}
        for name, text in {**given, "listen_address": self.listen_address}.items():
            if text is None:
                continue
            try:
                address = split_address(text)
            except ValueError as error:
                yield f"{name} = {text}: {error}"
                continue
            if address[1] and taken.setdefault(address, name) != name:
                yield f"{taken[address]} and {name} are both {text}; each needs a port of its own"

    def _tls_faults(self) -> Iterator[str]:
        for name, files in (("tls", self.tls), ("worker_tls", self.worker_tls)):
            if not files.is_set and files.paths:
                yield f"{name} needs certificate and key; without them the rest has no effect"
        if self.worker_tls.is_set and self.listen_workers is None:
            yield "worker_tls has no effect without listen_workers"
        if self.insecure:
            return
        if _is_far(self.listen):
            who = f"listen = {self.listen} can be reached from other machines"
            if not self.tls.is_set:
                yield f"{who}; set tls.certificate and tls.key, or --insecure to send all in clear"
            if self.tokens_file is None and self.tls.client_ca is None:
                yield (
                    f"{who} and asks nobody who they are; set tokens_file or tls.client_ca "
                    "(virtscale certs makes both), or --insecure to let everybody in"
                )
            if self.listen_workers is None and not self.tls.is_mutual:
                yield (
                    f"{who}, workers too, without certificates; set listen_workers and worker_tls"
                    " (virtscale certs), or --insecure"
                )
        if self.listen_workers and _is_far(self.listen_workers) and not self.worker_tls.is_mutual:
            yield (
                f"listen_workers = {self.listen_workers} can be reached from other machines; set "
                "certificate, key and client_ca of worker_tls (virtscale certs), or --insecure"
            )

    @property
    def made_join_key_file(self) -> Path:
        """Where the key of join tokens is made when none is configured."""
        if isinstance(self.database, PostgresqlUrl):
            return _state_directory() / "join.key"
        return self.database.with_name("join.key")

    @property
    def cost(self) -> hashing.Cost:
        """Cost of Argon2id."""
        return hashing.Cost(self.argon2_memory_kib, self.argon2_passes, self.argon2_lanes)

    @property
    def profile(self) -> Profile:
        """Profile of jobs that name none."""
        return _PROFILES[self.default_profile]


def _is_far(address: str) -> bool:
    """True when other machines can reach the address."""
    try:
        return not is_loopback(split_address(address)[0])
    except ValueError:
        return False  # a fault of its own


def read_keyring(path: Path | None) -> hashing.Keyring:
    """The live keys; none when no file is configured.

    Raises:
        ConfigError: the file is missing or malformed.

    """
    if path is None:
        return hashing.Keyring()
    try:
        return hashing.parse_pepper(path.read_text(encoding="ascii"))
    except OSError as error:
        raise ConfigError([f"pepper_file = {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"pepper_file = {path}: is not text; write <key id>:<hex>"]) from None
    except ValueError as error:
        raise ConfigError([f"pepper_file = {path}: {error}"]) from None


def read_join_key(path: Path) -> bytes:
    """The key of join tokens.

    Raises:
        ConfigError: the file is missing or too short.

    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"join_key_file = {path}: {error.strerror}"]) from None
    if len(key) < 32:
        raise ConfigError([f"join_key_file = {path}: holds {len(key)} bytes, at least 32 needed"])
    return key


def read_password(path: Path) -> str:
    """The password in a file: its one line.

    Raises:
        ConfigError: it cannot be read, or is no such file.

    """
    field = f"database_password_file = {path}"
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError([f"{field}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{field}: is not text"]) from None
    if not text or "\n" in text or "\0" in text:
        raise ConfigError([f"{field}: must hold the password alone, on one line"])
    return text


def make_join_key(path: Path) -> bytes:
    """The key of join tokens; made, readable by its owner only, when the file is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_join_key(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(32))
    return read_join_key(path)
