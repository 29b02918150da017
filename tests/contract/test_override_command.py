"""`virtscale override` as a person calls it, and the scaler's API and file behind it."""

import asyncio
import getpass
import json
import re
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from scaler.api import Api
from scaler.decision_store import DecisionStore
from scaler.override_api import OverrideApi
from scaler.override_file import OverrideFile
from scaler.overrides import OverrideKind
from scaler.stabilization import Limits
from servicekit.metrics import MetricsServer, new_registry
from servicekit.tls import TokenFile
from stack import endpoints, scaler_api, site_secrets
from stack.commands.override import app
from stack.endpoints import Endpoints
from stack.http_api import HttpError
from stack.lock import StackLock
from stack.paths import StateDirectory

HERE = Endpoints(1, "test:///default", "default", *"abcdefgh", 1.5)


class Scene:
    def __init__(self, root):
        self.state = StateDirectory(root)
        self.state.create()
        self.store = OverrideFile(self.state.of("scaler") / "overrides.json")
        limits = Limits(min=1, max=4)
        site_secrets.ensure(self.state, time.time())
        token = TokenFile(site_secrets.of(self.state).token_file(site_secrets.CONTROL))
        orders = OverrideApi(
            self.store,
            lambda: None,
            limits=lambda: limits,
            domains=lambda: ["vs-1", "vs-2"],
            token=token,
        )
        holds = Api(lambda: {}, DecisionStore(None), self.store, lambda: None, token=token)
        self.server = MetricsServer(
            new_registry("scaler"),
            service="scaler",
            host="127.0.0.1",
            port=0,
            routes={**holds.routes(), **orders.routes()},
        )
        self.server.start()
        endpoints.write(self.state, replace(HERE, scaler=f"127.0.0.1:{self.server.port}"))

    def __call__(self, *arguments, code=0):
        done = CliRunner().invoke(app, [*arguments, "--state", str(self.state.root)])
        assert done.exit_code == code, done.output
        # The scaler is in this process, and so is its log.
        lines = done.output.splitlines(keepends=True)
        return "".join(line for line in lines if " [info " not in line)

    @property
    def kinds(self):
        return sorted(one.kind.value for one in self.store.active())


@pytest.fixture
def override(tmp_path, monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    scene = Scene(tmp_path)
    with StackLock(scene.state.lock):
        yield scene
    scene.server.close()


def test_an_order_is_given_listed_and_removed(override):
    told = override("floor", "2", "--for", "2h", "--reason", "fair")
    (given,) = override.store.active()
    assert (given.kind, given.domains, given.reason) == (OverrideKind.FLOOR, 2, "fair")
    assert given.author == getpass.getuser()
    assert given.expires_at == given.created_at + 7200
    assert re.fullmatch(rf"{given.id}  floor 2, until .*, by .* at .*: fair\n", told)
    assert override("list") == told
    assert override("remove", given.id) == f"removed: {told}"
    assert override("list") == "no override is in force\n"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["pause"], "pause"),
        (["hold", "0"], "hold"),
        (["ceiling", "3"], "ceiling"),
        (["block", "out"], "block_out"),
        (["block", "in"], "block_in"),
        (["dry-run", "on"], "dry_run"),
        (["drain", "vs-2"], "drain"),
    ],
)
def test_every_order_can_be_given(override, words, kind):
    override(*words)
    assert override.kinds == [kind]


def test_resume_lifts_pauses_and_shows_what_stays(override):
    override("pause")
    override("pause")
    override("floor", "2")
    assert "scaling is paused" in override("list")
    told = override("resume")
    assert told.startswith("scaling goes on\n")
    assert "floor 2" in told
    assert override.kinds == ["floor"]


def test_release_and_off_lift_just_what_they_say(override):
    for words in (["drain", "vs-1"], ["drain", "vs-1"], ["drain", "vs-2"], ["dry-run", "on"]):
        override(*words)
    assert override("release", "vs-1").count("removed: ") == 2
    assert override.kinds == ["drain", "dry_run"]
    override("dry-run", "off")
    assert override.kinds == ["drain"]
    assert "no dry run is ordered" in override("dry-run", "off", code=2)
    assert "no drain of vs-1" in override("release", "vs-1", code=2)


def test_behind_sudo_the_person_is_the_author(override, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "ann")
    override("pause")
    assert override.store.active()[0].author == "ann"


def test_programs_get_json(override):
    given = json.loads(override("hold", "2", "--json"))["override"]
    assert json.loads(override("list", "--json"))["overrides"] == [given]
    assert json.loads(override("remove", given["id"], "--json"))["removed"] == given
    assert json.loads(override("resume", "--json"))["overrides"] == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["floor", "9"], 1, "domains = 9: must be a whole number from 0 to the configured max = 4"),
        (["drain", "other"], 1, "domain = 'other': the pool has no such domain; it has vs-1, vs-2"),
        (["remove", "abc"], 1, "there is no override 'abc'"),
        (["remove", "a/b"], 1, "there is no override"),
        (["pause", "--for", "soon"], 2, "--for 'soon': must be a time above 0 such as 90s"),
        (["pause", "--for", "999d"], 1, "at most 31622400 (366 days)"),
        (["floor", "many"], 2, "must be a whole number"),
        (["block", "up"], 2, "up"),
    ],
)
def test_what_is_wrong_is_told_with_the_fix(override, words, code, text):
    assert text in override(*words, code=code)
    assert override.kinds == []


def test_who_does_not_show_the_token_may_not_order(override):
    address = f"127.0.0.1:{override.server.port}"
    for path, body in (("overrides", {"kind": "pause"}), ("pause", {}), ("resume", {})):
        with pytest.raises(HttpError, match="Authorization: Bearer"):
            asyncio.run(scaler_api.order(address, "POST", path, body, token="guess"))
    assert override.kinds == []


def test_without_a_stack_the_command_says_how_to_start_one(tmp_path):
    done = CliRunner().invoke(app, ["list", "--state", str(tmp_path)])
    assert done.exit_code == 1
    assert "virtscale up" in done.output
