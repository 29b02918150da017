"""`python -m bench NAME`: runs one benchmark and prints its figures."""

import argparse
import importlib.util
import sys
from pathlib import Path

# As in the tests, the checkout itself is measured, not an installed copy; proto is a source root.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "proto"))
_NEEDED = (
    *("apsw", "argon2", "grpc", "prometheus_client"),
    *("psycopg", "pydantic", "structlog", "yaml"),
)
if _MISSING := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
    sys.exit(
        f"python -m bench: no package {', '.join(_MISSING)} here; run bench/setup once, then"
        f" .venv-bench/bin/python -m bench {' '.join(sys.argv[1:])}".rstrip()
    )

from bench import (  # noqa: E402 - needs the path above
    chaos,
    collector,
    decide,
    dispatch,
    elasticity,
    fidelity,
    latency,
    scalein,
    scaleout,
    worker,
)
from bench.rig import ended_by_signals  # noqa: E402


def command_line() -> argparse.ArgumentParser:
    """Every benchmark with its flags."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    scaleout.add_arguments(
        benchmarks.add_parser("scaleout", help="the whole stack on real, cold guests")
    )
    chaos.add_arguments(
        benchmarks.add_parser("chaos", help="no job lost under kills, cuts, full disks; a seed")
    )
    dispatch.add_arguments(
        benchmarks.add_parser("dispatch", help="jobs per second through dispatcher and worker")
    )
    latency.add_arguments(
        benchmarks.add_parser("latency", help="single submissions, overload, lost workers")
    )
    worker.add_arguments(
        benchmarks.add_parser("worker", help="hashes per CPU second and memory of a worker")
    )
    elasticity.add_arguments(
        benchmarks.add_parser("elasticity", help="the scaler beside others, simulated, by seeds")
    )
    fidelity.add_arguments(
        benchmarks.add_parser("fidelity", help="the simulator against real guests, the same jobs")
    )
    scalein.add_arguments(
        benchmarks.add_parser("scalein", help="no job lost or run twice, real guests at work")
    )
    decide.add_arguments(benchmarks.add_parser("decide", help="what a turn of the scaler costs"))
    collector.add_arguments(
        benchmarks.add_parser("collector", help="the exporter beside others, on real domains")
    )
    return parser


def main() -> int:
    """Parses the command line and runs the benchmark."""
    arguments = command_line().parse_args()
    try:
        with ended_by_signals():
            return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
