"""Version 1 of the virtscale API: import `virtscale.v1.<file>_pb2`."""
