import xml.etree.ElementTree as ElementTree

from bench.growth import marks, show, write_svg

FOUND = {
    "empty_bytes": 60 << 20,
    "points": [
        {"queued": 1_000, "us_per_job": 20.0, "cpu_us_per_job": 10.0, "resident_bytes": 61 << 20},
        {"queued": 2_000, "us_per_job": 21.0, "cpu_us_per_job": 10.0, "resident_bytes": 62 << 20},
    ],
    "restart": {"serving_seconds": 0.5, "resident_bytes": 62 << 20, "database_bytes": 1 << 20},
    "drained": [
        {"queued": 1_000, "us_per_job": 90.0, "cpu_us_per_job": 80.0, "resident_bytes": 61 << 20}
    ],
    "checked": 42,
}


def test_marks_go_up_in_even_steps_of_a_logarithm():
    assert marks(1_000) == [1_000]
    assert marks(30_000) == [1_000, 2_000, 5_000, 10_000, 20_000, 30_000]
    assert marks(10**6)[-2:] == [500_000, 10**6]


def test_the_tables_name_every_length(capsys):
    show(FOUND)
    text = capsys.readouterr().out
    assert "2,000" in text
    assert "42 results" in text
    assert "0.50 s" in text


def test_the_plot_is_a_picture(tmp_path):
    write_svg(tmp_path / "plot.svg", FOUND)
    root = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert len(root.findall("{*}polyline")) == 3
