import os
import re

from guest_worker.logs import Log


def written(level: str, **fields: object) -> str:
    reader, writer = os.pipe()
    log = Log(writer, level)
    log.info("session.opened", **fields)
    os.close(writer)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    return text


def test_a_line_is_time_level_event_and_pairs() -> None:
    line = written("info", session="s1", seconds=1.0, text='a "b"\nc')
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    pairs = r'session=s1 seconds=1\.000 text="a \\"b\\"\\x0ac"'
    assert re.fullmatch(rf"{time} info session\.opened {pairs}\n", line)


def test_lines_below_the_level_are_not_written() -> None:
    assert written("warning") == ""


def test_a_closed_console_does_not_stop_the_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Log(writer, "debug").error("console.gone")
    os.close(writer)
