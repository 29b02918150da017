"""`python -m scaler explain` and `replay`, on a store that a scaler has left behind."""

import json

import pytest

from scaler.__main__ import main
from scaler.decision_store import DecisionFile, DecisionStore
from scaler.inquiry import Inquiry, NotRecordedError
from tests.simulation.recording import lived, recorded_world

START = 1_700_000_000.0


@pytest.fixture
async def state(tmp_path):
    world, store = recorded_world(path=tmp_path / "decisions.db")
    await lived(world)
    store.close()
    await world.end()
    return tmp_path


def run(capsys, *arguments, code=0):
    assert main([str(one) for one in arguments]) == code
    return capsys.readouterr()


def test_explains_a_moment_in_one_line_and_in_full(capsys, state):
    told = run(capsys, "explain", "--state-dir", state, "--at", START + 63.4).out.splitlines()
    assert "no domain was started: reference wanted 2, backlog wanted 3" in told[0]
    assert told[0].endswith("[out_window]")
    assert any(line.startswith("  pool:     current 2") for line in told)
    assert "last actions:" in told


def test_explains_a_domain_and_a_period_and_for_programs(capsys, state):
    told = run(capsys, "explain", "--state-dir", state, "--at", START + 160, "--domain=domain-2")
    assert "domain-2 was ready" in told.out.splitlines()[0]
    told = run(capsys, "explain", "--state-dir", state, "--at", START + 270, "--last", "5m")
    assert "start domain-1 done" in told.out
    told = run(capsys, "explain", "--state-dir", state, "--at", START + 160, "--json")
    answer = json.loads(told.out)
    assert answer["decision"]["type"] == "decision"
    assert "inputs" not in answer["decision"]


def test_a_time_without_a_turn_says_so(capsys, state):
    told = run(capsys, "explain", "--state-dir", state).out
    assert told.startswith("note: no turn was recorded since ")
    error = run(capsys, "explain", "--state-dir", state, "--at", START - 5, code=1).err
    assert "the oldest turn is of" in error


def test_of_a_minute_the_turn_with_most_to_say_is_told(state):
    asked = Inquiry(DecisionFile(state / "decisions.db"))
    quiet = asked.explain(START + 40, now=START + 300)
    assert "nothing was to be done" in quiet["answer"]
    told = asked.explain(START + 40, now=START + 300, within=60.0)
    assert "  start domain-1: " in told["answer"]
    assert told["at"] > START + 40
    told = asked.explain(START + 40, now=START + 300, within=60.0, domain="domain-3")
    assert "domain-3: start, because" in told["answer"]
    told = asked.explain(START + 30, now=START + 300, within=5.0)
    assert "nothing was to be done" in told["answer"]
    told = asked.explain(START - 30, now=START + 300, within=60.0)
    assert "  start domain-0: " in told["answer"]


def test_a_gap_between_two_lives_of_the_scaler_is_told(state):
    store = DecisionStore(state / "decisions.db", wall=lambda: START + 2000)
    (entry,) = [one for one in store.stream(START + 269, START + 270)]
    entry.id, entry.first, entry.last = 10**6, START + 1000, START + 1000
    store._waiting[entry.id] = entry
    store.flush()
    store.close()
    asked = Inquiry(DecisionFile(state / "decisions.db"))
    answer = asked.explain(START + 500, now=START + 1000)
    assert answer["gap"].startswith("no turn was recorded between ")
    assert asked.explain(START + 150, now=START + 1000)["gap"] is None


def test_replays_another_policy(capsys, state, tmp_path):
    policy = tmp_path / "lean.yaml"
    policy.write_text("max: 2\npolicies: [{kind: backlog}]\n")
    common = ("replay", "--state-dir", state, "--from", START, "--to", START + 270)
    told = run(capsys, *common, "--policy", policy).out
    assert "540 turns" in told
    assert "3 -> 2: the pool's maximum [max]" in told
    assert told.splitlines()[-1].startswith("Open loop:")
    found = json.loads(run(capsys, *common, "--policy", policy, "--json").out)
    assert found["replayed"]["peak"] == 2
    assert found["recorded"]["peak"] == 4
    assert found["note"].startswith("Open loop:")


def test_what_the_policy_leaves_out_is_as_in_force(capsys, state, tmp_path):
    config = tmp_path / "scaler.yaml"
    config.write_text("min: 3\nmax: 9\npolicies: [{kind: backlog}]\n")
    policy = tmp_path / "wider.yaml"
    policy.write_text("min: 5\nlibvirt_uri: qemu:///system\n")
    common = ("replay", "--state-dir", state, "--from", START, "--to", START + 270, "--json")
    found = json.loads(run(capsys, *common, "--config", config, "--policy", policy).out)
    # With the program's own `max` a minimum of 5 would be refused.
    assert found["replayed"]["peak"] >= 5
    policy.write_text("min: 10\nsaturation: null\n")
    told = run(capsys, *common, "--config", config, "--policy", policy, code=2).err
    assert told == f"error: {policy}: min = 10 must not exceed max = 9\n"


def test_draws_what_both_wanted(capsys, state, tmp_path):
    policy = tmp_path / "lean.yaml"
    policy.write_text("max: 2\n")
    drawn = tmp_path / "replay.html"
    common = ("replay", "--state-dir", state, "--from", START, "--to", START + 270)
    run(capsys, *common, "--policy", policy, "--plot", drawn)
    text = drawn.read_text()
    assert text.count('<path fill="none" stroke="#') == 5
    assert "this policy" in text
    assert "Open loop:" in text
    image = tmp_path / "replay.png"
    run(capsys, *common, "--policy", policy, "--plot", image)
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("replay", "--from", START, "--plot", "x.svg"), 2, "--plot x.svg: HTML and PNG are drawn"),
        (
            ("replay", "--from", START, "--to", START + 99, "--plot", "/nowhere/x.html"),
            1,
            "--plot /nowhere/x.html: No such file",
        ),
        (("explain", "--at", "teatime"), 2, "--at 'teatime': must be 10:42"),
        (("explain", "--last", "long"), 2, "--last 'long': must be a duration"),
        (("explain", "--domain", "nobody", "--at", START + 160), 1, "there were: domain-0"),
        (("replay", "--from", "-1h", "--to", "-2h"), 2, "--from -1h must be before --to -2h"),
        (("replay", "--from", "-1h"), 1, "nothing is recorded between"),
        (("replay", "--policy", "/nowhere.yaml"), 2, "/nowhere.yaml: no such file"),
    ],
)
def test_bad_questions_are_refused_with_the_fix(capsys, state, arguments, code, text):
    command, *rest = arguments
    assert text in run(capsys, command, "--state-dir", state, *rest, code=code).err


def test_without_a_store_it_says_where_it_looked(capsys, tmp_path):
    error = run(capsys, "explain", "--state-dir", tmp_path, code=1).err
    assert f"{tmp_path}/decisions.db: no such file" in error


async def test_an_empty_history_has_no_answer():
    with pytest.raises(NotRecordedError, match="or any other time"):
        Inquiry(DecisionStore(None)).explain(5.0, now=10.0)
