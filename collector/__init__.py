"""Statistics of libvirt domains as Prometheus metrics, read when Prometheus asks.

Reading order: `records` what libvirt said, `catalogue` every metric, `layout` how numbers become
lines, `exposition` a whole scrape, `ports` what the loop needs, `libvirt_source` where it comes
from, `exporter` one scrape, `__main__`.
"""
