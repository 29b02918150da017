"""Generated code of the virtscale API."""
