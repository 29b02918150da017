"""Starts and stops the domains of a pool so that capacity follows demand.

Reading order: `pool`, `readings`, `reasons` (values); `recommendation`, `stabilization`, `breaker`,
`tracking`, `planner`, `decision` (pure: `now` is an argument); `ports`; the adapters
(`prometheus_source`, `libvirt_hypervisor`, `dispatcher_fleet`, `decision_store`, `override_file`);
`executor` and `reconciler` (the loop); `telemetry`, `api`, `config`, `__main__`. `simulator` runs
the same decisions on a virtual clock.
"""
