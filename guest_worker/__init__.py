"""Runs inside a domain: hashes licence numbers that the dispatcher sends and returns the results.

Reading order: `values` the nouns, `hashing` and `loads` the work, `session` the protocol as a pure
machine, `reconnect` when to try again, `ports` what the loop needs, `processes` and `transport` the
adapters, `worker` the loop, `config` and `logs`, `__main__`.

Everything imported before the first Hello is boot time of a domain, and under emulation that time
is about twenty times longer than here. Hence NamedTuples (creating a dataclass costs seven times as
much), no `logging`, no `argparse`, no `asyncio`, and `postponed` for what others import in vain.
"""

VERSION = "0.1.0"
