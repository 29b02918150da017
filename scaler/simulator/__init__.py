"""The scaler on a virtual clock: traces in, figures out, with the production `decide` unchanged.

Reading order: `spreads`, `traces`, `trace_file`, `workload` (what is asked of a pool); `scenario`
(what goes wrong); `domains` (a pool, its dispatcher and its jobs), `signals` (what Prometheus would
answer); `production` (drives `decide` and `feed`), `baselines`, `oracle`, `baseline_driver` (other
autoscalers); `scorecard` (the figures); `simulation` (one run); `plot`; `__main__`.
"""
