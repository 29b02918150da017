"""Where the stack keeps its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT_VARIABLE = "VIRTSCALE_STATE"
_LONGEST_SOCKET_PATH = 107
# The longest socket below the state directory: libvirt's, in a run directory.
_LONGEST_SOCKET_NAME = "run/libvirt/libvirt-admin-sock"


@dataclass(frozen=True)
class StateDirectory:
    """The state directory's layout. Everything the stack writes is in here."""

    root: Path

    @property
    def image(self) -> Path:
        """Built guest images, by generation."""
        return self.root / "image"

    @property
    def run(self) -> Path:
        """Sockets, pid files, the lock: worthless after the stack's end."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log per service."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Keys, readable by the stack's user only."""
        return self.root / "secrets"

    @property
    def configs(self) -> Path:
        """Configuration files rendered for the services of this run."""
        return self.run / "configs"

    @property
    def lock(self) -> Path:
        """Held by the `up` that owns this directory."""
        return self.run / "up.lock"

    @property
    def endpoints(self) -> Path:
        """Where the running stack answers."""
        return self.run / "endpoints.json"

    def of(self, service: str) -> Path:
        """A service's own directory."""
        return self.root / service

    def log(self, service: str) -> Path:
        """A service's log."""
        return self.logs / f"{service}.log"

    def directories(self) -> list[tuple[Path, int]]:
        """What must exist before the services start, with modes."""
        private = 0o700
        return [
            (self.root, 0o755),
            (self.run, private),
            (self.configs, private),
            (self.logs, 0o755),
            (self.secrets, private),
            *(
                (self.of(name), private)
                for name in ("libvirt", "prometheus", "alertmanager", "dispatcher", "scaler")
            ),
            (self.image, 0o755),
        ]

    def create(self) -> None:
        """Makes the directories that are missing.

        Raises:
            OSError: as the operating system says it.

        """
        for path, mode in self.directories():
            path.mkdir(mode=mode, parents=True, exist_ok=True)

    def fault(self) -> str | None:
        """Why this path cannot be a state directory; None when it can."""
        longest = len(str(self.root / _LONGEST_SOCKET_NAME).encode())
        if longest > _LONGEST_SOCKET_PATH:
            return (
                f"state directory {self.root}: too long a path for the sockets in it by "
                f"{longest - _LONGEST_SOCKET_PATH} characters; choose a shorter one with --state "
                f"or ${ENVIRONMENT_VARIABLE}"
            )
        return None


def state_directory(
    given: Path | None, *, environ: Mapping[str, str], is_root: bool, home: Path
) -> StateDirectory:
    """The state directory: the option, else the environment, else the user's default."""
    if given is not None:
        return StateDirectory(given.absolute())
    override = environ.get(ENVIRONMENT_VARIABLE)
    if override:
        return StateDirectory(Path(override).absolute())
    if is_root:
        return StateDirectory(Path("/var/lib/virtscale"))
    base = environ.get("XDG_STATE_HOME")
    return StateDirectory((Path(base) if base else home / ".local" / "state") / "virtscale")
