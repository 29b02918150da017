import json

import pytest

from scaler.simulator.__main__ import main

SHORT = ("--length", "600", "--max", "6", "--job-seconds", "exponential:10")


def ran(capsys, *arguments):
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_prints_a_line_per_policy(capsys):
    names = ("--policy", "default", "--policy", "hpa_v2")
    code, out, err = ran(capsys, "--shape", "step", *names, *SHORT)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["policy", "default", "hpa_v2"]


def test_prints_json_and_is_the_same_again(capsys):
    arguments = ("--shape", "flash", "--json", "--seed", "3", *SHORT)
    _, first, _ = ran(capsys, *arguments)
    _, again, _ = ran(capsys, *arguments)
    assert first == again
    assert json.loads(first)["policies"]["default"]["unfinished"] == 0


def test_runs_a_trace_and_a_policy_file_and_draws(capsys, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,jobs_per_second\n0,0.1\n300,0.4\n600,0.1\n", encoding="utf-8")
    policy = tmp_path / "policy.yaml"
    policy.write_text("min: 2\nmax: 5\nscale_in: {window_seconds: 60}\n", encoding="utf-8")
    plot = tmp_path / "plot.html"
    code, out, _ = ran(
        capsys, *("--trace", str(trace), "--policy", str(policy), "--plot", str(plot), "--json")
    )
    assert code == 0
    assert (json.loads(out)["min"], json.loads(out)["max"]) == (2, 5)
    drawn = plot.read_text(encoding="utf-8")
    assert drawn.count("<svg") == 1
    assert "policy.yaml" in drawn


def test_draws_all_policies_on_one_scale_as_an_image_too(capsys, tmp_path):
    names = ("--policy", "default", "--policy", "static_max")
    for name in ("plot.html", "plot.png"):
        drawn = tmp_path / name
        code, _, err = ran(capsys, "--shape", "step", *names, *SHORT, "--plot", str(drawn))
        assert (code, err) == (0, f"drawn: {drawn}\n")
    text = (tmp_path / "plot.html").read_text(encoding="utf-8")
    # The end of the scale, once in each chart.
    assert text.count(">6</text>") == 2
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_follows_the_policies_file_of_a_configuration(capsys, tmp_path):
    (tmp_path / "policies.yaml").write_text("max: 3\n", encoding="utf-8")
    config = tmp_path / "scaler.yaml"
    config.write_text(f"max: 9\npolicies_file: {tmp_path}/policies.yaml\n", encoding="utf-8")
    short = ("--length", "60", "--json", "--policy", str(config))
    _, out, _ = ran(capsys, "--shape", "steady", *short)
    assert json.loads(out)["max"] == 3


def test_a_trace_beyond_all_there_is_is_told(capsys):
    many = ("--peak", "3", "--length", "60", "--max", "2", "--job-seconds", "2")
    code, _, err = ran(capsys, "--shape", "steady", *many)
    assert code == 0
    assert err.startswith("note: at its peak the trace keeps ")
    assert "max = 2" in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--shape", "nope"), "choose one of"),
        (("--trace", "/none.csv"), "No such file"),
        (("--shape", "step", "--policy", "none.yaml"), "baselines:"),
        (("--shape", "step", "--job-seconds", "x"), "--job-seconds"),
        (("--shape", "step", "--boot-seconds", "normal:0"), "--boot-seconds"),
        (("--shape", "step", "--scenario", "x"), "no such scenario"),
        (("--shape", "step", "--min", "5", "--max", "2"), "min <= max"),
        (("--shape", "step", "--slots", "2000"), "--slots"),
        (("--shape", "step", "--length", "1"), "--length"),
        (("--shape", "step", "--peak", "-1"), "--peak"),
        (("--shape", "step", "--peak", "1e6"), "the most"),
        (("--shape", "step", "--plot", "x.svg"), ".html or .png"),
    ],
)
def test_bad_input_is_explained(capsys, arguments, word):
    code, out, err = ran(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert word in err


def test_all_faults_of_a_policy_are_listed(capsys, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("min: -1\nmaxx: 5\nscale_in: {window_seconds: x}\n", encoding="utf-8")
    code, _, err = ran(capsys, "--shape", "step", "--policy", str(policy))
    assert code == 2
    assert err.count("error: ") == 3
