"""A page that a program writes: the command line of its generator."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def main(description: str | None, target: Path, document: Callable[[], str]) -> int:
    """Writes the page, or with `--check` says whether it is current; the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    is_check = parser.parse_args().check
    text = document()
    is_current = target.exists() and target.read_text(encoding="utf-8") == text
    if is_check and not is_current:
        sys.stderr.write(f"docs/{target.name} is not current; run: python {sys.argv[0]}\n")
        return 1
    if not is_current:
        target.write_text(text, encoding="utf-8")
    return 0
