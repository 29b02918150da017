"""How the numbers of one domain become lines: worked out once, used at every scrape. Pure.

Nearly all of a scrape's text is the same as the time before; only numbers change. So a domain keeps
a template with its lines, and a program, shared by all domains whose records have the same keys,
that picks the numbers. Then a scrape is, per domain, a comparison of keys, a few passes over the
values that run inside the interpreter, and one formatting. `Layouts.text` finds out by itself when
a template no longer holds: other keys, another state, a renamed device, another description.

Nanoseconds are split with integer arithmetic: exact, and faster than the shortest representation of
a float. Text is UTF-8 in disguise: every byte is one character below 256. So the text of a domain
with a Chinese title is no wider than others, the bytes 0xFE and 0xFF, which UTF-8 never has, are
free to part the pieces, and encoding the whole scrape is a copy.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple
from weakref import WeakValueDictionary

from collector import catalogue
from collector.description_rows import described
from collector.families import Family, NameSet, Scale, Statistic
from collector.records import DomainRecord, Group, Statistics
from collector.samples import (
    has_extras,
    is_active,
    is_complete,
    numbers,
    state_words,
)

SEPARATOR = "\xff"
"""Between the pieces of a domain's text; one piece per family, in the families' order."""

_INTEGERS = frozenset({int, bool})
_TOO_MUCH = 1 << 64
"""libvirt's largest type holds less."""
_MOST_KEPT = 4
"""Layouts per domain: scrapes that ask for different groups take turns."""
_NUMBERED = re.compile(r"(vcpu|net|block|iothread|dirtyrate\.vcpu)\.([0-9]+)\.(.+)", re.DOTALL)
_LIMIT = re.compile(r"(limit)\.(.+)\.([^.]+)", re.DOTALL)
_ITEM_LABELS = {
    "vcpu": "vcpu",
    "dirtyrate.vcpu": "vcpu",
    "iothread": "iothread",
    "net": "target_device",
    "block": "target_device",
    "limit": "target_device",
}
_NAMED = ("net", "block")
"""Items whose label is not their number but what the record calls their name."""

Values = Sequence[object]
_Getter = Callable[[Values], tuple[object, ...]]


class _OddValueError(Exception):
    """A value is not a number as libvirt gives them."""


def escape(text: str) -> str:
    """A label's value, as UTF-8 in disguise. What no encoding can hold is written out."""
    encoded = text.encode("utf-8", "backslashreplace").decode("latin-1")
    if "\\" in encoded or '"' in encoded or "\n" in encoded:
        return encoded.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return encoded


def labels_text(names: Iterable[str], values: Iterable[str]) -> str:
    """What stands between the braces."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True))


@lru_cache(maxsize=1 << 14)
def _split(key: str) -> tuple[str, str, str]:
    """A key as the catalogue has it, the kind of its item and the item; "" for the domain's own."""
    match = _NUMBERED.fullmatch(key) or _LIMIT.fullmatch(key)
    if match is None:
        return key, "", ""
    kind, item, rest = match.groups()
    return f"{kind}.*.{rest}", kind, item


def _split_by(divisor: int) -> Callable[[Iterable[int]], Iterator[int]]:
    return lambda found: (part for value in found for part in divmod(value, divisor))


def _times(factor: int) -> Callable[[Iterable[int]], Iterator[int]]:
    return lambda found: (value * factor for value in found)


@dataclass(frozen=True, slots=True)
class _Writing:
    """How a number of some scale is written."""

    form: str
    convert: Callable[[Iterable[int]], Iterator[int]]
    arguments: int = 1


_WRITINGS: Mapping[Scale, _Writing] = {
    Scale.NANOSECONDS: _Writing("%d.%09d", _split_by(10**9), 2),
    Scale.MILLISECONDS: _Writing("%d.%03d", _split_by(1000), 2),
    Scale.KIBIBYTES: _Writing("%d", _times(1 << 10)),
    Scale.MEBIBYTES: _Writing("%d", _times(1 << 20)),
}


class _Cell(NamedTuple):
    """One line: text, and what number follows it. `place` is the number's among the values."""

    family: int
    text: str
    place: int = -1
    scale: Scale = Scale.ONE
    is_percent: bool = False


def _getter(places: Sequence[int]) -> _Getter:
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        (place,) = places
        return lambda values: (values[place],)
    return lambda values: ()


class _Program:
    """Picks the numbers out of a record. The same for all domains whose records look alike."""

    __slots__ = (
        *("_arrange", "_memory", "_numbers", "_steps", "_told", "families", "keys", "names"),
        "__weakref__",
    )

    def __init__(
        self,
        keys: tuple[str, ...],
        names: Sequence[int],
        cells: Sequence[_Cell],
        told: "_Told",
        memory: "_Memory",
    ) -> None:
        self.keys = keys
        self.names = _getter(names)
        self.families = tuple(sorted({cell.family for cell in cells}))
        self._told = told
        self._memory = memory
        valued = [cell for cell in cells if cell.place >= 0]
        self._numbers = _getter(sorted({cell.place for cell in valued}))
        end = len(keys)
        self._steps: list[tuple[Callable[[Iterable[int]], Iterator[int]], _Getter]] = []
        places: dict[int, tuple[int, ...]] = {}
        for scale, writing in _WRITINGS.items():
            found = [cell.place for cell in valued if cell.scale is scale]
            if found:
                self._steps.append((writing.convert, _getter(found)))
            for cell in (cell for cell in valued if cell.scale is scale):
                places[id(cell)] = tuple(range(end, end + writing.arguments))
                end += writing.arguments
        self._arrange = _getter(
            [
                place
                for cell in cells
                for place in ((end,) if cell.is_percent else places.get(id(cell), (cell.place,)))
                if place >= 0
            ]
        )

    def fits(self, values: Values) -> bool:
        """False when a value has changed that lines depend on, not only numbers in them."""
        told, memory = self._told, self._memory
        return (told.place < 0 or (values[told.place] != 0) is told.is_told) and (
            memory.available < 0 or memory.is_known(values) is memory.is_shown
        )

    def arguments(self, values: list[object]) -> tuple[object, ...]:
        """What the templates of these domains are filled with. Changes `values`.

        Raises:
            _OddValueError: one of them is not a number.

        """
        found = self._numbers(values)
        if found and not (_INTEGERS.issuperset(map(type, found)) and min(found) >= 0):  # type: ignore[type-var,operator]
            raise _OddValueError
        for convert, getter in self._steps:
            values += convert(getter(values))  # type: ignore[arg-type]
        if self._memory.is_shown:
            values.append(self._memory.percent(values))
        return self._arrange(values)


@dataclass(frozen=True, slots=True)
class _Told:
    """When the guest told its memory; 0 is libvirt's word for never."""

    place: int = -1
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class _Memory:
    """What of its memory the guest could not give up; not known when it tells nonsense."""

    available: int = -1
    usable: int = -1
    is_shown: bool = False

    def is_known(self, values: Values) -> bool:
        available, usable = values[self.available], values[self.usable]
        return (
            type(available) is int
            and type(usable) is int
            and 0 <= usable <= available < _TOO_MUCH
            and available > 0
        )

    def percent(self, values: Values) -> float:
        available, usable = values[self.available], values[self.usable]
        return 100 * (available - usable) / available  # type: ignore[operator,no-any-return]


@dataclass(frozen=True, slots=True)
class Layout:
    """One domain's lines, and what must be as it was for them to hold."""

    program: _Program
    template: str
    names: tuple[object, ...]
    record: DomainRecord
    """Of it only what does not change from scrape to scrape; its statistics are empty."""

    @property
    def families(self) -> tuple[int, ...]:
        """Numbers of the families that the text has pieces for."""
        return self.program.families

    def holds(self, record: DomainRecord, keys: tuple[str, ...], values: Values) -> bool:
        """True when a record can be written with these lines."""
        before = self.record
        return (
            self.program.keys == keys
            and before.number == record.number
            and before.uuid == record.uuid
            and before.is_timed_out is record.is_timed_out
            and (
                before.description is record.description or before.description == record.description
            )
            and self.names == self.program.names(values)
            and self.program.fits(values)
        )


class Layouts:
    """The layouts of a host's domains. Threads may share one: at worst something is done twice."""

    def __init__(self, families: Sequence[Family], names: frozenset[NameSet]) -> None:
        self._kept: dict[str, dict[tuple[int, frozenset[Group] | None], Layout]] = {}
        # They live as long as a layout has them.
        self._programs: WeakValueDictionary[object, _Program] = WeakValueDictionary()
        self._numbers = {family.name: number for number, family in enumerate(families)}
        self._labels = {family.name: family.labels_with(names) for family in families}
        self._statistics: dict[str, list[Statistic]] = {}
        for one in catalogue.STATISTICS:
            if one.family.name in self._numbers:
                self._statistics.setdefault(one.key, []).append(one)

    def __len__(self) -> int:
        return len(self._kept)

    def text(
        self, record: DomainRecord, groups: frozenset[Group] | None = None
    ) -> tuple[tuple[int, ...], str]:
        """Numbers of families, and the pieces of text for them. None stands for all groups."""
        statistics = numbers(record) if has_extras(record) else record.statistics
        keys, values = tuple(statistics), list(statistics.values())
        kept = self._kept.get(record.name)
        if kept is None:
            kept = self._kept[record.name] = {}
        mark = len(keys), groups
        layout = kept.get(mark)
        if layout is not None and layout.holds(record, keys, values):
            try:
                return layout.families, layout.template % layout.program.arguments(values)
            except (_OddValueError, ValueError):
                values = list(statistics.values())
        layout, is_sound = self._build(record, statistics, groups)
        if is_sound:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[mark] = layout
        return layout.families, layout.template % layout.program.arguments(values)

    def keep_only(self, names: Iterable[str]) -> None:
        """Drops the layouts of domains that are not there any more."""
        kept = self._kept
        self._kept = {name: found for name in names if (found := kept.get(name)) is not None}

    def _build(
        self, record: DomainRecord, statistics: Statistics, groups: frozenset[Group] | None
    ) -> tuple[Layout, bool]:
        """The layout, and whether it may be used again: not when a value was nonsense."""
        active = is_active(statistics) if "state.state" in statistics else record.number >= 0
        places = {key: place for place, key in enumerate(statistics)}
        values = list(statistics.values())
        told, memory = _told(places, values), _memory(places, values)
        writer = _Writer(self._labels, record, statistics)
        cells = [*self._constant_cells(record, statistics, groups)]
        is_sound = True
        for key, value in statistics.items():
            pattern, kind, item = _split(key)
            for one in self._statistics.get(pattern, ()):
                if not (active or one.is_lasting) or not one.family.is_wanted(groups):
                    continue
                if not _is_number(value):
                    is_sound = False
                    continue
                if key == "balloon.last-update" and not told.is_told:
                    continue
                text = writer.text(one.family, kind, item)
                if text is not None:
                    number = self._numbers[one.family.name]
                    cells.append(_Cell(number, text, places[key], one.scale))
        if not (active and catalogue.USED_PERCENT.is_wanted(groups)):
            memory = _Memory()
        if memory.is_shown:
            number = self._numbers[catalogue.USED_PERCENT.name]
            text = writer.text(catalogue.USED_PERCENT, "", "")
            cells.append(_Cell(number, text or "", is_percent=True, place=-1))
        cells.sort(key=lambda cell: cell.family)
        names = [place for key, place in places.items() if key == "state.state" or _is_name(key)]
        program = self._program(tuple(statistics), names, cells, told, memory)
        layout = Layout(
            program,
            _template(cells),
            program.names(values),
            replace(record, statistics={}, control=None, job=None, io_limits={}),
        )
        return layout, is_sound

    def _program(
        self,
        keys: tuple[str, ...],
        names: Sequence[int],
        cells: Sequence[_Cell],
        told: _Told,
        memory: _Memory,
    ) -> _Program:
        steps = tuple((cell.family, cell.place, cell.scale, cell.is_percent) for cell in cells)
        mark = keys, steps, told, memory
        program = self._programs.get(mark)
        if program is None:
            program = self._programs[mark] = _Program(keys, names, cells, told, memory)
        return program

    def _constant_cells(
        self, record: DomainRecord, statistics: Statistics, groups: frozenset[Group] | None
    ) -> Iterator[_Cell]:
        """Lines without a number that changes from scrape to scrape."""
        rows = [*described(record)]
        state = statistics.get("state.state")
        if type(state) is int and _is_number(state):
            rows.append((catalogue.STATE, (record.name, state_words(state)), state))
        rows.append((catalogue.COMPLETE, (record.name,), int(is_complete(statistics, groups))))
        rows.append((catalogue.TIMED_OUT, (record.name,), int(record.is_timed_out)))
        for family, values, value in rows:
            number = self._numbers.get(family.name)
            if number is None or not family.is_wanted(groups):
                continue
            names = self._labels[family.name]
            if names != family.labels:
                values = (values[0], record.uuid, *values[1:])
            text = labels_text(names, values)
            yield _Cell(number, f"{family.name}{{{text}}} {value}".replace("%", "%%"))


class _Writer:
    """The text before the numbers of one domain; labels are made once per item."""

    def __init__(
        self,
        labels: Mapping[str, tuple[str, ...]],
        record: DomainRecord,
        statistics: Statistics,
    ) -> None:
        self._labels = labels
        self._record = record
        self._made: dict[tuple[tuple[str, ...], str, str], str | None] = {}
        self._items = {kind: _first_of_name(statistics, kind) for kind in _NAMED}

    def text(self, family: Family, kind: str, item: str) -> str | None:
        """None for an item without a name, or with that of another one before it."""
        names = self._labels[family.name]
        mark = names, kind, item
        if mark not in self._made:
            self._made[mark] = self._make(names, kind, item)
        made = self._made[mark]
        return None if made is None else f"{family.name}{{{made}}} "

    def _make(self, names: tuple[str, ...], kind: str, item: str) -> str | None:
        known = {"domain": self._record.name, "uuid": self._record.uuid}
        if kind:
            label = item if kind not in _NAMED else self._items[kind].get(item)
            if label is None:
                return None
            known[_ITEM_LABELS[kind]] = label
        if "source_file" in names or "source_bridge" in names:
            known |= self._sources(known["target_device"])
        return labels_text(names, [known[name] for name in names]).replace("%", "%%")

    def _sources(self, target: str) -> dict[str, str]:
        found = self._record.description
        disks, interfaces = (found.disks, found.interfaces) if found else ((), ())
        return {
            "source_file": next((one.source for one in disks if one.target == target), ""),
            "source_bridge": next((one.bridge for one in interfaces if one.target == target), ""),
        }


def _first_of_name(statistics: Statistics, kind: str) -> dict[str, str]:
    """Names of the disks or interfaces by their number in the record.

    With backing files libvirt lists a disk several times under one name; the first is its top.
    """
    found: dict[str, str] = {}
    for key, value in statistics.items():
        pattern, its_kind, item = _split(key)
        if (
            its_kind == kind
            and pattern.endswith(".*.name")
            and isinstance(value, str)
            and value not in found.values()
        ):
            found[item] = value
    return found


def _told(places: Mapping[str, int], values: Values) -> _Told:
    place = places.get("balloon.last-update", -1)
    return _Told(place, place >= 0 and values[place] != 0)


def _memory(places: Mapping[str, int], values: Values) -> _Memory:
    available = places.get("balloon.available", -1)
    usable = places.get("balloon.usable", -1)
    if available < 0 or usable < 0:
        return _Memory()
    return _Memory(available, usable, _Memory(available, usable).is_known(values))


def _is_number(value: object) -> bool:
    return type(value) in _INTEGERS and 0 <= value < _TOO_MUCH  # type: ignore[operator]


def _is_name(key: str) -> bool:
    return key == "block.count" or (key.endswith(".name") and key.startswith(_NAMED))


def _template(cells: Sequence[_Cell]) -> str:
    pieces: dict[int, list[str]] = {}
    for cell in cells:
        pieces.setdefault(cell.family, []).append(f"{cell.text}{_form(cell)}\n")
    return SEPARATOR.join("".join(lines) for lines in pieces.values())


def _form(cell: _Cell) -> str:
    if cell.is_percent:
        return "%r"
    if cell.place < 0:
        return ""
    writing = _WRITINGS.get(cell.scale)
    return "%d" if writing is None else writing.form
