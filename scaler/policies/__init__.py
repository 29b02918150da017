"""Policies: each a value and a pure function from readings, pool and memory to a proposal."""
