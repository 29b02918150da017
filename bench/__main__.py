"""`python -m bench NAME`: runs one benchmark and prints its figures."""

import argparse
import sys

from bench import dispatch, latency, scaleout, worker
from bench.rig import ended_by_signals


def main() -> int:
    """Parses the command line and runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    scaleout.add_arguments(
        benchmarks.add_parser("scaleout", help="the whole stack on real, cold guests")
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
    arguments = parser.parse_args()
    try:
        with ended_by_signals():
            return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
