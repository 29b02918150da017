"""A stack as commands find it: lock, addresses, libvirt's test driver and the scaler's real API.

Dispatcher, Prometheus and the rest are addresses where nobody listens, as when they are away.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from scaler.api import Api
from scaler.decision_store import DecisionStore
from scaler.override_api import OverrideApi
from scaler.override_file import OverrideFile
from scaler.stabilization import Limits
from servicekit.metrics import MetricsServer, new_registry
from servicekit.tls import TokenFile
from stack import endpoints, privilege, site_secrets
from stack.endpoints import Endpoints
from stack.lock import StackLock
from stack.paths import StateDirectory

NOBODY = "127.0.0.1:1"
_DOMAIN = """<domain type="test"><name>{name}</name><memory>1024</memory><vcpu>1</vcpu>
<os><type>hvm</type></os><metadata>
<virtscale:domain xmlns:virtscale="urn:virtscale:domain:1" pool="default"/></metadata></domain>"""


class AnnouncedStack:
    """Use it in a `with`; `end` is its orderly end, `vanish` that of a killed one."""

    def __init__(self, *, domains: int = 2) -> None:
        # Not pytest's directory, which other users may not enter: commands give root away.
        self.root = Path(tempfile.mkdtemp(prefix="virtscale-stack-"))
        self.root.chmod(0o755)
        self.state = StateDirectory(self.root / "state")
        self.state.create()
        self.names = [f"vs-{number}" for number in range(1, domains + 1)]
        node = self.root / "node.xml"
        defined = "".join(_DOMAIN.format(name=name) for name in self.names)
        node.write_text(f"<node>{defined}</node>", encoding="utf-8")
        site_secrets.ensure(self.state, time.time())
        self.overrides = OverrideFile(self.state.of("scaler") / "overrides.json")
        self.server = self._serve()
        self.lock = StackLock(self.state.lock)
        self.lock.acquire()
        self.endpoints = Endpoints(
            pid=os.getpid(),
            uri=f"test://{node}",
            pool="default",
            dispatcher=NOBODY,
            token_file=str(site_secrets.of(self.state).token_file(site_secrets.COMMANDS)),
            dispatcher_metrics=NOBODY,
            scaler=f"127.0.0.1:{self.server.port}",
            collector=NOBODY,
            prometheus=NOBODY,
            alertmanager=NOBODY,
            logs=str(self.state.logs),
            started_at=time.time(),
        )
        endpoints.write(self.state, self.endpoints)
        self._give_away()

    def __enter__(self) -> "AnnouncedStack":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self.lock.release()
        shutil.rmtree(self.root, ignore_errors=True)

    def end(self) -> None:
        """The announcement is taken back, then the lock is released."""
        endpoints.remove(self.state)
        self.lock.release()

    def vanish(self) -> None:
        """As after kill -9: the announcement stays."""
        self.lock.release()

    def status(self) -> dict[str, Any]:
        """What the scaler says of its pool."""
        return {
            "time": time.time(),
            "current": len(self.names),
            "desired": len(self.names) + 1,
            "domains": [{"name": name, "state": "ready"} for name in self.names],
            "decision": {"signals": {"cpu": {"kind": "known", "value": 0.5, "age_seconds": 1.0}}},
        }

    def _serve(self) -> MetricsServer:
        token = TokenFile(site_secrets.of(self.state).token_file(site_secrets.CONTROL))
        holds = Api(self.status, DecisionStore(None), self.overrides, lambda: None, token=token)
        orders = OverrideApi(
            self.overrides,
            lambda: None,
            limits=lambda: Limits(min=1, max=4),
            domains=lambda: self.names,
            token=token,
        )
        server = MetricsServer(
            new_registry("scaler"),
            service="scaler",
            host="127.0.0.1",
            port=0,
            routes={**holds.routes(), **orders.routes()},
        )
        server.start()
        return server

    def _give_away(self) -> None:
        if os.geteuid() == 0:
            user = privilege.account()
            for path in (self.state.root, *self.state.root.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid)


def environment(state: Path, **more: str) -> dict[str, str]:
    """For a command that uses this state directory, whatever the caller's colours are."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    }
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(root / "proto")])
    return {**kept, "PYTHONPATH": path, "VIRTSCALE_STATE": str(state), **more}
