"""What every host service shares. A closed list of six modules that know no domain noun.

`clock` time as an argument, `config` files and flags to checked values, `lifecycle` signals and
ordered stop, `logs` structured lines, `metrics` the /metrics server, `tls` credentials from files.
A seventh module needs an ADR.
"""
