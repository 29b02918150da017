"""Durable job ledger, and gRPC for clients, workers and the scaler.

Reading order: `jobs` values, `numbers` and `hashing`, `ready`, `sessions`, `effects`, `ledger` (all
pure), `ports`, `sqlite_store` and `memory_store`, `pump`, `submissions`, `fleet`, `telemetry`,
`grpc_api`, `config`, `__main__`.
"""
