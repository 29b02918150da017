"""The report of a run: one page and its charts, of what was recorded and what Prometheus kept.

Reading order: `steps` and `samples` (what holds until it changes; what was scraped), `past` (what
the decision store tells), `lives` (domains from start to off), `asking` (what Prometheus is asked),
`figures` (what both come to); `charts`, `words`, `page`; `command`. All but the last are pure.
"""
