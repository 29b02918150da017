"""A reading as text for Prometheus: format 0.0.4, or OpenMetrics 1.0.

Our own, because at thousands of series the client library's renderer takes longer than libvirt.
"""

import math
from collections.abc import Iterable
from enum import StrEnum

from collector.catalogue import CATALOGUE
from collector.families import Family, NameSet
from collector.host_rows import Facts, host_rows
from collector.layout import SEPARATOR, Layouts, labels_text
from collector.records import DomainRecord, Group, HostReading

__all__ = ["Facts", "Format", "NameSet", "Renderer"]


class Format(StrEnum):
    """How the text is written."""

    TEXT = "text"
    OPENMETRICS = "openmetrics"
    """Without the final `# EOF`, so that more can be appended."""

    @property
    def content_type(self) -> str:
        """For the header of the answer."""
        if self is Format.OPENMETRICS:
            return "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return "text/plain; version=0.0.4; charset=utf-8"


class Renderer:
    """Renders readings of one host, and remembers its domains' lines. For many threads."""

    def __init__(self, names: frozenset[NameSet] = frozenset()) -> None:
        wanted = names | {NameSet.INOVEX}
        self._families = [family for family in CATALOGUE if family.names in wanted]
        self._numbers = {family.name: number for number, family in enumerate(self._families)}
        self._heads = {form: [_head(family, form) for family in self._families] for form in Format}
        self._layouts = Layouts(self._families, wanted)

    def render(
        self,
        reading: HostReading | None,
        facts: Facts,
        form: Format,
        groups: frozenset[Group] | None = None,
    ) -> bytes:
        """Text of one reading; None stands for a host that did not answer.

        `groups` are those that the scrape asked for, None for all: what came beside them is left
        out, and a domain is called incomplete only for what was asked.
        """
        lines: list[list[str]] = [[] for _ in self._families]
        for family, labels, value in host_rows(reading, facts):
            number = self._numbers.get(family.name)
            if number is None or value is None or not math.isfinite(value) or value < 0:
                continue
            if family.is_wanted(groups):
                lines[number].append(_line(family, labels, value))
        if reading is not None:
            self._add_domains(lines, _each_once(reading.domains), groups)
        found = []
        for head, own in zip(self._heads[form], lines, strict=True):
            text = "".join(own)
            own.clear()
            if text:
                found += [head, text.encode("latin-1")]
        return b"".join(found)

    def _add_domains(
        self,
        lines: list[list[str]],
        domains: list[DomainRecord],
        groups: frozenset[Group] | None,
    ) -> None:
        """Families hold their domains in order of name, so texts are taken apart in runs."""
        run: list[list[str]] = []
        families: tuple[int, ...] = ()
        for record in domains:
            its_families, text = self._layouts.text(record, groups)
            if its_families is not families:
                _add_run(lines, families, run)
                run, families = [], its_families
            run.append(text.split(SEPARATOR))
        _add_run(lines, families, run)
        if len(self._layouts) > len(domains):
            self._layouts.keep_only([record.name for record in domains])


def _add_run(lines: list[list[str]], families: tuple[int, ...], run: list[list[str]]) -> None:
    for number, pieces in zip(families, zip(*run, strict=True), strict=bool(run)):
        lines[number] += pieces


def _each_once(domains: Iterable[DomainRecord]) -> list[DomainRecord]:
    """In order of name. One that was read twice, as it was renamed or made anew, counts once."""
    found: dict[str, DomainRecord] = {}
    for record in sorted(domains, key=lambda one: (one.name, one.number, one.uuid)):
        found[record.name] = record
    return list(found.values())


def _line(family: Family, labels: tuple[str, ...], value: float) -> str:
    if not labels:
        return f"{family.name} {float(value)!r}\n"
    return f"{family.name}{{{labels_text(family.labels, labels)}}} {float(value)!r}\n"


def _head(family: Family, form: Format) -> bytes:
    text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if form is Format.OPENMETRICS:
        text = text.replace('"', '\\"')
        name, kind = family.family_name, family.kind
    else:
        name, kind = family.name, "gauge" if family.kind == "info" else family.kind
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()
