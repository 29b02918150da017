"""The how-to pages: every file they show is one that its program takes, every command runs.

A file says in its first line, as a comment, which one it is. Commands that need a running stack are
those of other tests (`tests/architecture/test_readme_commands.py` says of which).
"""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import promql_parser
import pytest
import yaml

from collector.config import CollectorSettings
from dispatcher.config import DispatcherSettings
from scaler.alert_api import AlertApi
from scaler.alert_config import alert_rules
from scaler.alert_desk import AlertDesk
from scaler.api_models import Notification
from scaler.config import ScalerConfig
from scaler.policy_file import PolicyFile
from servicekit.config import Settings, check
from servicekit.tls import TokenFile
from tests.architecture.test_readme_commands import (
    ALERT,
    COVERED,
    HOWTO,
    IN_HOWTO,
    covering,
    howto_pages,
)
from tests.markdown_blocks import Block, blocks, commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = howto_pages(ROOT)
MODELS: dict[str, type[Settings]] = {
    "scaler.yaml": ScalerConfig,
    "policies.yaml": PolicyFile,
    "dispatcher.yaml": DispatcherSettings,
    "collector.yaml": CollectorSettings,
}
TOOLS = {
    "prometheus.yml": ("promtool", "check", "config"),
    "rules.yml": ("promtool", "check", "rules"),
    "alertmanager.yml": ("amtool", "check-config"),
}
# Places and names of a reader's machine; the test's own are a folder and libvirt's test driver.
PLACES = ("/etc/virtscale", "/etc/grafana", "/var/lib/grafana")
LIBVIRT = (("qemu:///system", "test:///default"), ("metadata web-1", "metadata test"))


def files(page: Path) -> list[tuple[str, str]]:
    """Name and text of each file that a page shows."""
    return [
        (named(block), block.text)
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language in ("yaml", "json")
    ]


def named(block: Block) -> str:
    if block.language == "json":
        return "firing.json"
    first = re.match(r"# ([a-z.]+)\n", block.text)
    assert first, f"say in the first line which file it is: {block.text.splitlines()[0]}"
    return first[1]


def test_the_pages_show_files_of_every_kind():
    kinds = {name for page in PAGES for name, _ in files(page)}
    assert kinds >= {"scaler.yaml", "policies.yaml", "dispatcher.yaml", *TOOLS, "firing.json"}


def test_the_configurations_that_operations_shows_are_some():
    found = 0
    for language, text in blocks((ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")):
        named = re.match(r"# (?:/[a-z/]+/)?([a-z.]+)\n", text)
        if language == "yaml" and named and named[1] in MODELS:
            check(MODELS[named[1]], yaml.safe_load(text), source="docs/OPERATIONS.md")
            found += 1
    assert found >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_shown_is_one_that_its_program_takes(page, tmp_path):
    for name, text in files(page):
        if name == "firing.json":
            Notification.model_validate(json.loads(text))
        elif name in MODELS:
            check(MODELS[name], yaml.safe_load(text), source=f"{page.name}: {name}")
        else:
            (tmp_path / name).write_text(text)
            run(shlex.join([*TOOLS[name], name]), tmp_path)
    for language, text in blocks(page.read_text(encoding="utf-8")):
        if language == "promql":
            promql_parser.parse(text.strip())


def localised(text: str, folder: Path) -> str:
    """The same on this machine."""
    for place in PLACES:
        text = text.replace(place, f"{folder}{place}")
    for theirs, ours in LIBVIRT:
        text = text.replace(theirs, ours)
    return text


def run(line: str, folder: Path) -> str:
    line = re.sub(r"^\./virtscale ", f"{shlex.quote(sys.executable)} -m stack ", line)
    line = re.sub(r"^\.venv/bin/python ", f"{shlex.quote(sys.executable)} ", line)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
            "VIRTSCALE_STATE": str(folder / "state"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    print(f"$ {line}\n{done.stdout}")
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page, tmp_path):
    for place in PLACES:
        (tmp_path / place[1:]).mkdir(parents=True)
    (tmp_path / "grafana").symlink_to(ROOT / "grafana")
    for line in commands(page.read_text(encoding="utf-8")):
        if covering(line, IN_HOWTO, COVERED) == HOWTO:
            for name, text in files(page):
                (tmp_path / name).write_text(localised(text, tmp_path))
            run(localised(line, tmp_path), tmp_path)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Nobody reads them."""


@pytest.fixture
def serve() -> Iterator[Callable[[AlertApi], int]]:
    servers = []

    def start(api: AlertApi) -> int:
        server = make_server("127.0.0.1", 0, api, handler_class=_Quiet)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server.server_port

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_alert_is_sent_by_hand(serve, tmp_path):
    """By curl, to the scaler's own webhook with the page's own rules."""
    page = ROOT / "docs" / "howto" / "alert-scaling.md"
    shown = dict(files(page))
    token = tmp_path / "etc/virtscale/alerts.token"
    token.parent.mkdir(parents=True)
    token.write_text("ab" * 32)
    (tmp_path / "firing.json").write_text(shown["firing.json"])
    config = check(ScalerConfig, yaml.safe_load(shown["scaler.yaml"]), source=page.name)
    desk = AlertDesk(
        alert_rules(config.alerts, config.pool), ttl_seconds=60.0, monotonic=lambda: 0.0
    )
    port = serve(AlertApi(desk, TokenFile(token), lambda: None, lambda *_: None))
    (line,) = [
        line for line in commands(page.read_text()) if covering(line, IN_HOWTO, COVERED) == ALERT
    ]
    told = run(localised(line, tmp_path).replace(":9182", f":{port}"), tmp_path)
    assert json.loads(told) == {"alerts": 1, "used": 1, "truncated": 0}
    assert [one.name for one in desk.sight(0.0).firing] == ["GateQueueLong"]
