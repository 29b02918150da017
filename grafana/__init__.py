"""Dashboards for the collector, as code; `python grafana/generate.py` writes their JSON."""
