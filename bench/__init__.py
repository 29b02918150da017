"""Benchmarks side by side with a peer in one run; see `python -m bench --help`."""
