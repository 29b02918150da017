"""The gRPC adapter: the only package of the dispatcher that knows protobuf.

`translation` turns messages into values and back, `errors` values into statuses, `license_service`,
`worker_service` and `fleet_service` serve, `server` listens.
"""
