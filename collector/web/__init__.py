"""An HTTP/1.1 server for a few short pages: knows nothing of libvirt or metrics.

Reading order: `messages` what goes in and out, `addresses` and `listeners` where, `connection` one
client, `server` all of them; `configuration` the web config file of Prometheus's exporters, with
`tls` and `passwords`, and `config_watch` its changes.
"""
