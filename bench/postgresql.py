"""A real PostgreSQL server of one's own: its data, its port and socket, durable as by default."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

_PATIENCE = 30


def program(name: str) -> Path:
    """A program of the newest PostgreSQL that Debian has installed here."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    if not found:
        raise SystemExit(f"{name} is not here: apt-get install postgresql")
    return found[-1]


class PostgresqlServer:
    """Runs as another user when this is root, whom PostgreSQL refuses."""

    def __init__(self, port: int, *, settings: str = "") -> None:
        """Makes its files; `start` starts it. `settings` are lines of its configuration."""
        # Not pytest's directory: the server's user must be able to enter it.
        self.directory = Path(tempfile.mkdtemp(prefix="virtscale-postgresql-"))
        self.port = port
        self.password = secrets.token_hex(12)
        self._data = self.directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
            self._user += ["--clear-groups"]
        password = self.directory / "password"
        password.write_text(self.password)
        password.chmod(0o644)
        self._run(
            *(program("initdb"), "--pgdata", self._data, "--username", "postgres"),
            *("--encoding", "UTF8", "--no-locale", "--auth-local", "trust"),
            *("--auth-host", "scram-sha-256", "--pwfile", password, "--no-sync"),
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = '{self.directory}'\n"
                f"{settings}\n"
            )

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(
            [*self._user, *map(str, command)], capture_output=True, text=True, cwd=self.directory
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        """Starts it; returns when it answers and has a database of the user `owner`."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._user, str(program("postgres")), "-D", str(self._data)],
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._make_database()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)

    def _make_database(self) -> None:
        """As docs/OPERATIONS.md says: its owner is no superuser."""
        with psycopg.connect(self._address("postgres", "postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'jobs'").fetchall():
                return
            connection.execute(
                sql.SQL("CREATE ROLE owner LOGIN PASSWORD {}").format(sql.Literal(self.password))
            )
            connection.execute("CREATE DATABASE jobs OWNER owner ENCODING 'UTF8'")

    def stop(self) -> None:
        """Ends its sessions, as a package's upgrade does."""
        self._end(signal.SIGINT)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            self._process = None

    def kill(self) -> None:
        """Ends all its processes at once, as a power cut does."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._process.kill()
        for each in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "log").read_text(errors="replace")

    def remove(self) -> None:
        """Ends it and removes its files."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.directory)

    def url(self, schema: str, *, host: str = "") -> str:
        """By its socket, which asks for no password; with `host` by TCP, which does."""
        options = quote(f"-c search_path={schema}")
        return f"{self._address('owner', 'jobs', host)}?options={options}"

    def _address(self, user: str, database: str, host: str = "") -> str:
        where = host or quote(str(self.directory), safe="")
        return f"postgresql://{user}@{where}:{self.port}/{database}"

    def connect(self, schema: str = "public") -> psycopg.Connection[tuple[object, ...]]:
        """A session of the server's administrator."""
        return psycopg.connect(
            self._address("postgres", "jobs"), autocommit=True, options=f"-c search_path={schema}"
        )

    def new_schema(self) -> str:
        """An empty schema of its own; its URL."""
        schema = f"schema_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {schema} AUTHORIZATION owner")
        return self.url(schema)
