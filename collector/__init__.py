"""Statistics of libvirt domains as Prometheus metrics, read when Prometheus asks.

Reading order: `samples` what is known about a domain, `families` its metrics, `ports` what the loop
needs, `libvirt_source` where it comes from, `exporter` one scrape, `__main__`.
"""
