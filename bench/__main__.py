"""`python -m bench NAME`: runs one benchmark and prints its figures."""

import argparse
import sys

from bench import chaos, scaleout


def main() -> int:
    """Parses the command line and runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    scaleout.add_arguments(
        benchmarks.add_parser("scaleout", help="the whole stack on real, cold guests")
    )
    chaos.add_arguments(
        benchmarks.add_parser("chaos", help="no job lost under kills, cuts, full disks; a seed")
    )
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
