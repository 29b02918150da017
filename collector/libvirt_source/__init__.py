"""Reads a host through libvirt, read-only.

`source` puts a reading together: a survey of the domains, the bulk statistics over several
connections, and side questions. `plan`, `hung`, `bulk`, `assembly`, `devices`, `faults` and `uri`
decide and are pure; `pursuit` keeps the time. What libvirt was measured to do is in ADR 0033.
"""

from collector.libvirt_source.source import LibvirtSource

__all__ = ["LibvirtSource"]
