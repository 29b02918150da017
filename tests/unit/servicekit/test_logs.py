import json
import logging
from pathlib import Path

import pytest
import structlog

from servicekit import logs


@pytest.fixture(autouse=True)
def _restored():
    handlers = logging.getLogger().handlers[:]
    yield
    logs.configure("test")
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_every_line_is_one_json_object_with_the_common_fields(tmp_path):
    file = tmp_path / "scaler.log"
    logs.configure("scaler", file=file)
    logs.get(pool="default").info("domain.started", domain="a\nb")
    (line,) = map(json.loads, lines(file))
    assert line.pop("ts").endswith("Z")
    assert line == {
        "event": "domain.started",
        "level": "info",
        "service": "scaler",
        "pool": "default",
        "domain": "a\nb",
    }


def test_levels_below_the_chosen_one_are_dropped(tmp_path):
    file = tmp_path / "a.log"
    logs.configure("scaler", level="warning", file=file)
    logs.get().info("quiet")
    logs.get().warning("loud")
    assert [json.loads(line)["event"] for line in lines(file)] == ["loud"]


def test_text_is_for_people(tmp_path):
    file = tmp_path / "a.log"
    logs.configure("scaler", form="text", file=file)
    logs.get().info("domain.started", domain="d1")
    (line,) = lines(file)
    assert "domain.started" in line
    assert "domain=d1" in line
    assert "\x1b" not in line


def test_a_restart_appends(tmp_path):
    file = tmp_path / "a.log"
    for event in ("first", "second"):
        logs.configure("scaler", file=file)
        logs.get().info(event)
    assert [json.loads(line)["event"] for line in lines(file)] == ["first", "second"]


def test_an_exception_stays_on_one_line(tmp_path):
    file = tmp_path / "a.log"
    logs.configure("scaler", file=file)
    try:
        raise ValueError("bad")
    except ValueError:
        logs.get().exception("tick.failed")
    (line,) = lines(file)
    assert "ValueError: bad" in json.loads(line)["exception"]


def test_libraries_that_use_the_standard_logging_end_in_the_same_form(tmp_path):
    file = tmp_path / "a.log"
    logs.configure("scaler", file=file)
    logging.getLogger("urllib3").warning("retrying %s", "x")
    (line,) = map(json.loads, lines(file))
    assert line["logger"] == "urllib3"
    assert line["event"] == "retrying x"
    assert line["service"] == "scaler"


def test_a_log_file_that_cannot_be_opened_is_a_sentence(tmp_path):
    with pytest.raises(Exception, match="log file") as caught:
        logs.configure("scaler", file=tmp_path / "absent" / "a.log")
    assert "--logfile" in str(caught.value)


def test_a_full_disk_costs_lines_and_no_service():
    logs.configure("scaler", file=Path("/dev/full"))
    for _ in range(3):
        logs.get().info("scaler.started", text="x" * 100_000)
