"""The view as HTML. All that is text passes through `_text`; nothing else makes markup. Pure.

The whole page is rendered here, for browsers without JavaScript too. With it, the page's script
puts newer fragments of the same functions in place, so there is one way to draw a thing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from scaler.status_page.load import POINTS, Points
from scaler.status_page.view import DomainRow, Event, Figure, Tone, View

REFRESH_SECONDS = 5
COLUMNS = ("Domain", "State", "CPU", "Last 10 min", "Leases", "Slots", "Tier", "Orders")
_COLUMN_KEYS = ("name", "state", "cpu", "spark", "leases", "slots", "tier", "orders")
_WIDTH, _HEIGHT = 120, 22
_SIDE: Mapping[str, str] = {
    "overrides": "Overrides",
    "alerts": "Alerts that scale",
    "signals": "Signals",
    "policies": "Policies",
}
_MARKS: Mapping[str, str] = {
    "out": "\N{BLACK UP-POINTING TRIANGLE}",
    "in": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "trouble": "!",
    "config": "\N{BLACK DIAMOND}",
    "standby": "\N{LOWER HALF BLOCK}",
    "upkeep": "\N{MIDDLE DOT}",
    "quiet": "\N{EN DASH}",
}
_KINDS: Mapping[str, str] = {
    "out": "scaled out",
    "in": "scaled in",
    "trouble": "trouble",
    "config": "configuration",
    "standby": "standby",
    "upkeep": "upkeep",
    "quiet": "nothing done",
}


@dataclass(frozen=True, slots=True)
class Fragments:
    """The page in pieces that can be replaced one by one."""

    sections: Mapping[str, str]
    """By the id of the element that holds it."""
    rows: Mapping[str, Sequence[str]]
    """The cells of each domain by name, in the order of the table."""
    events: Mapping[str, str]
    """The entries of the timeline by key, newest first."""
    version: str
    """Of the page's files that these belong to."""


def fragments(view: View) -> Fragments:
    """The pieces of a view."""
    sections = {
        "headline": _headline(view),
        "notices": _notices(view),
        "capacity": _capacity(view),
        "queue": _queue(view),
        "cpu-note": _text(view.cpu_note),
        "domain-count": f"{len(view.domains):,}",
        "signals": _signals(view),
        "policies": _policies(view),
        "overrides": _overrides(view),
        "alerts": _alerts(view),
        "summary": _text(view.summary),
        "clock": _text(view.time),
        "controls": _controls(view),
    }
    return Fragments(
        sections,
        {row.name: _cells(row) for row in view.domains},
        {str(one.key): _event(one) for one in view.timeline},
        view.version,
    )


def page(view: View, zone: str) -> str:
    """The whole document. `zone` names the zone of its times."""
    parts = fragments(view)
    told = parts.sections
    need = "yes" if view.needs_token else "no"
    return f"""<!doctype html>
<html lang="en">
{_head(view)}
<body data-version="{_text(view.version)}" data-needs-token="{need}">
<a class="skip" href="#domains">To the domains</a>
<header>
<div class="brand"><span class="mark" aria-hidden="true"></span>virtscale
<span class="pool">pool <b>{_text(view.pool)}</b></span></div>
<div class="live"><span id="live" data-state="static">as of</span>
<time id="clock">{told["clock"]}</time> <span class="zone">{_text(zone)}</span></div>
</header>
<p id="summary" class="unseen" role="status" aria-live="polite"></p>
<main>
<section class="top" aria-labelledby="h-pool"><h1 id="h-pool" class="unseen">Pool</h1>
<div id="notices">{told["notices"]}</div>
<div id="headline">{told["headline"]}</div>
<div id="capacity">{told["capacity"]}</div>
<div id="controls" role="group" aria-label="Orders for the pool" hidden>{told["controls"]}</div>
<noscript><p class="hint">Without JavaScript this page is read anew every {REFRESH_SECONDS} s and
gives no orders; <code>virtscale override</code> does.</p></noscript>
</section>
<section class="queue" aria-labelledby="h-queue"><h2 id="h-queue">Queue</h2>
<div id="queue">{told["queue"]}</div></section>
{_domain_section(parts)}
<section class="timeline" aria-labelledby="h-timeline"><div class="head">
<h2 id="h-timeline">Decisions</h2>
<label id="quiet-switch" class="switch" hidden><input id="quiet" type="checkbox" checked>
with stretches in which nothing was done</label></div>
<ol id="timeline">{"".join(parts.events.values())}</ol></section>
<div class="side">{_side(told)}</div>
</main>
<footer><nav aria-label="For programs"><a href="/metrics">metrics</a>
<a href="/api/v1/view">this page as JSON</a> <a href="/api/v1/openapi.json">API</a>
<a href="/-/ready">readiness</a></nav>
<span>Times are the scaler's, {_text(zone)}. More: <code>virtscale explain</code></span></footer>
{_DIALOG}
</body>
</html>
"""


def _head(view: View) -> str:
    version = _text(view.version)
    return f"""<head>
<meta charset="utf-8">
<title>{_text(view.pool)} - virtscale</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS}"></noscript>
<link rel="icon" href="/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page/page.css?{version}">
<script src="/page/page.js?{version}" defer></script>
</head>"""


def _domain_section(parts: Fragments) -> str:
    rows = "".join(_row(name, cells) for name, cells in parts.rows.items())
    heads = "".join(
        f'<th scope="col" class="c-{key}">{_text(name)}</th>'
        for name, key in zip(COLUMNS, _COLUMN_KEYS, strict=True)
    )
    count, note = parts.sections["domain-count"], parts.sections["cpu-note"]
    return f"""<section class="domains" aria-labelledby="h-domains" id="domains" tabindex="-1">
<div class="head"><h2 id="h-domains">Domains <span id="domain-count" class="count">{count}</span>
</h2>
<form id="filter" role="search" hidden><label>Filter
<input id="filter-text" type="search" autocomplete="off" spellcheck="false"></label></form></div>
<p id="cpu-note" class="hint">{note}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table of domains">
<table id="domain-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
<p class="more"><span id="shown"></span>
<button id="more" type="button" hidden>Show all</button></p>
</section>"""


def _side(sections: Mapping[str, str]) -> str:
    return "".join(
        f'<section aria-labelledby="h-{key}"><h2 id="h-{key}">{title}</h2>'
        f'<div id="{key}">{sections[key]}</div></section>'
        for key, title in _SIDE.items()
    )


_DIALOG = """<dialog id="order" aria-labelledby="order-title"><form method="dialog" novalidate>
<h2 id="order-title"></h2><p id="order-text"></p>
<p class="field" id="f-domains"><label for="o-domains">Domains</label>
<input id="o-domains" type="number" inputmode="numeric" min="0" step="1"></p>
<p class="field" id="f-seconds"><label for="o-seconds">For</label><select id="o-seconds">
<option value="900">15 minutes</option><option value="3600">1 hour</option>
<option value="14400">4 hours</option><option value="86400">1 day</option>
<option value="">until it is removed</option></select></p>
<p class="field" id="f-reason"><label for="o-reason">Reason</label>
<input id="o-reason" maxlength="200" autocomplete="off"></p>
<p class="field" id="f-author"><label for="o-author">Your name</label>
<input id="o-author" maxlength="200" autocomplete="off"></p>
<p class="field" id="f-token"><label for="o-token">Control token</label>
<input id="o-token" type="password" autocomplete="off" aria-describedby="token-hint">
<small id="token-hint">The content of the file that <code>control_token_file</code> names;
<code>./run</code> keeps it in <code>secrets/tls/control.token</code> of its state directory. Kept
in this tab only.</small></p>
<p id="order-error" role="alert"></p>
<p class="buttons"><button type="button" id="order-cancel">Cancel</button>
<button type="submit" id="order-give" class="main">Give the order</button></p>
</form></dialog>"""


def _text(value: object) -> str:
    """Any text as markup that shows just that text."""
    return escape(str(value), quote=True)


def _tag(tone: Tone, label: str) -> str:
    return f'<span class="tag t-{tone.value}">{_text(label)}</span>'


def _headline(view: View) -> str:
    return (
        f'<p class="state t-{view.tone.value}">{_text(view.headline)}</p>'
        f'<p class="why">{_text(view.why)}</p>'
    )


def _notices(view: View) -> str:
    return "".join(
        f'<p class="notice t-{one.tone.value}">{_text(one.text)}</p>' for one in view.notices
    )


def _capacity(view: View) -> str:
    size = view.capacity
    if size is None:
        return ""
    desired = "?" if size.desired is None else f"{size.desired:,}"
    total = max(1, sum(one.count for one in size.shares))
    bars, at = [], 0.0
    for one in size.shares:
        width = 100 * one.count / total
        bars.append(
            f'<rect class="t-{one.tone.value}" x="{at:.2f}%" width="{width:.2f}%" height="100%"/>'
        )
        at += width
    legend = "".join(
        f'<li class="t-{one.tone.value}"><b>{one.count:,}</b> {_text(one.label)}</li>'
        for one in size.shares
    )
    return (
        '<dl class="size">'
        f"<div><dt>serve</dt><dd>{size.current:,}</dd></div>"
        f"<div><dt>wanted</dt><dd>{_text(desired)}</dd></div>"
        f"<div><dt>limits</dt><dd>{size.least:,}\N{EN DASH}{size.most:,}</dd></div></dl>"
        f'<svg class="strip" aria-hidden="true">{"".join(bars)}</svg>'
        f'<ul class="legend">{legend}</ul>'
    )


def _queue(view: View) -> str:
    figures = "".join(map(_figure, view.queue))
    jobs = [one for one in view.waiting if one is not None]
    most = max(jobs, default=0.0)
    told = f"most {most:,.0f}" if jobs else ""
    curves = _curve("Waiting jobs, last 10 min", view.waiting, max(1.0, most), told)
    known = [one for one in view.pool_cpu if one is not None]
    last = f"now {known[-1]:.0%}" if known and view.pool_cpu[-1] is not None else ""
    curves += _curve("Mean CPU of the pool, last 10 min", view.pool_cpu, 1.0, last)
    return f'<dl class="figures">{figures}</dl><div class="curves">{curves}</div>'


def _figure(one: Figure) -> str:
    unknown = "" if one.is_known else ' class="unknown"'
    return (
        f"<div{unknown}><dt>{_text(one.name)}</dt><dd>{_text(one.value)}</dd>"
        f'<dd class="note">{_text(one.note)}</dd></div>'
    )


def _curve(name: str, points: Points, top: float, told: str) -> str:
    if all(one is None for one in points):
        drawn = '<span class="hint">not known</span>'
    else:
        drawn = _spark(points, top, "curve")
    return (
        f'<figure><figcaption>{_text(name)} <span class="note">{_text(told)}</span></figcaption>'
        f"{drawn}</figure>"
    )


def _spark(points: Points, top: float, kind: str) -> str:
    """A line with gaps where nothing is known, and the area below it."""
    lines, areas = [], []
    for stretch in _stretches(points):
        line = " ".join(
            f"{_WIDTH * at / (POINTS - 1):.1f},{_y(value, top):.1f}" for at, value in stretch
        )
        first, last = (_WIDTH * one[0] / (POINTS - 1) for one in (stretch[0], stretch[-1]))
        lines.append(f'<polyline points="{line}"/>')
        areas.append(f'<polygon points="{first:.1f},{_HEIGHT} {line} {last:.1f},{_HEIGHT}"/>')
    return (
        f'<svg class="{kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(areas)}{"".join(lines)}</svg>'
    )


def _y(value: float, top: float) -> float:
    return _HEIGHT - 1 - (_HEIGHT - 2) * min(1.0, max(0.0, value / top))


def _stretches(points: Points) -> Iterable[list[tuple[int, float]]]:
    stretch: list[tuple[int, float]] = []
    for at, value in enumerate(points):
        if value is not None:
            stretch.append((at, value))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _cells(row: DomainRow) -> list[str]:
    cpu = "\N{EN DASH}"
    if row.cpu_ratio is not None:
        cpu = f'<meter min="0" max="1" value="{row.cpu_ratio:.2f}"></meter> {row.cpu_ratio:.0%}'
    has_history = any(one is not None for one in row.history)
    slots = "\N{EN DASH}" if row.slots is None else f"{row.busy_slots} of {row.slots}"
    note = f'<span class="note">{_text(row.note)}</span>' if row.note else ""
    drain = ""
    if row.may_drain:
        drain = (
            f'<button type="button" data-order="drain" data-domain="{_text(row.name)}" '
            f'aria-label="Drain {_text(row.name)}">Drain</button>'
        )
    return [
        _text(row.name),
        _tag(row.tone, row.label) + note,
        cpu,
        _spark(row.history, 1.0, "spark") if has_history else "\N{EN DASH}",
        "\N{EN DASH}" if row.leases is None else f"{row.leases:,}",
        slots,
        _text(row.tier or "\N{EN DASH}"),
        drain,
    ]


def _row(name: str, cells: Sequence[str]) -> str:
    first, *others = cells
    told = "".join(
        f'<td class="c-{key}">{cell}</td>'
        for key, cell in zip(_COLUMN_KEYS[1:], others, strict=True)
    )
    return f'<tr data-name="{_text(name)}"><th scope="row" class="c-name">{first}</th>{told}</tr>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> str:
    """Cells are markup."""
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    if not body:
        return f'<p class="empty">{_text(empty)}</p>'
    head = "".join(f'<th scope="col">{_text(one)}</th>' for one in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _signals(view: View) -> str:
    rows = (
        [
            _text(one.name),
            _text(one.value),
            _tag(one.tone, one.label)
            + (f'<span class="note"> {_text(one.detail)}</span>' if one.detail else ""),
            _text(one.age or "\N{EN DASH}"),
        ]
        for one in view.signals
    )
    return _table(("Signal", "Value", "State", "Age"), rows, "No policy asks for a signal.")


def _policies(view: View) -> str:
    rows = ([_text(one.name), _text(one.wish), _text(one.why)] for one in view.policies)
    return _table(("Policy", "Wants", "Because"), rows, "No policy has said anything yet.")


def _overrides(view: View) -> str:
    rows = (
        [
            _text(one.text),
            f'{_text(one.author)}<span class="note"> {_text(one.reason)}</span>',
            f'{_text(one.since)}<span class="note"> {_text(one.until)}</span>',
            f'<button type="button" class="needs-script" data-order="remove" '
            f'data-id="{_text(one.id)}" data-text="{_text(one.text)}" '
            f'aria-label="Remove {_text(one.text)}">Remove</button>',
        ]
        for one in view.overrides
    )
    heads = ("Order", "By", "Since", "Orders")
    return _table(heads, rows, "None: the policies decide.")


def _alerts(view: View) -> str:
    rows = (
        [
            f'{_text(one.name)}<span class="note line"> {_text(one.labels)}</span>',
            _text(one.since),
            _text(one.effect),
        ]
        for one in view.alerts
    )
    return _table(("Alert", "Since", "Effect"), rows, "None fires.")


def _event(one: Event) -> str:
    until = f"\N{EN DASH}{_text(one.until)}" if one.until else ""
    details = "".join(f"<li>{_text(line)}</li>" for line in one.details)
    more = (
        f'<details><summary>{_text(one.why)}</summary><ul class="details">{details}</ul></details>'
        if details
        else f"<p>{_text(one.why)}</p>"
    )
    return (
        f'<li class="k-{_text(one.kind)} t-{one.tone.value}" data-key="{one.key}">'
        f'<span class="when">{_text(one.time)}<span class="until">{until}</span></span>'
        f'<span class="sign" aria-hidden="true">{_MARKS.get(one.kind, "")}</span>'
        f'<span class="change">{_text(one.change)}</span>'
        f'<div class="what"><span class="unseen">{_text(_KINDS.get(one.kind, one.kind))}: </span>'
        f'<span class="title">{_text(one.title)}</span>{more}</div></li>'
    )


def _controls(view: View) -> str:
    pause = (
        '<button type="button" data-order="resume">Resume</button>'
        if view.is_paused
        else '<button type="button" data-order="pause">Pause</button>'
    )
    most = 0 if view.capacity is None else view.capacity.most
    return (
        f'{pause}<button type="button" data-order="hold" data-most="{most}">Hold at a number'
        '</button><button type="button" data-order="forget" hidden>Forget token</button>'
    )
