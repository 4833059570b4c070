"""Competing sides of the layer sweep: scripts that run in the peers' environment and know nothing of `correction`."""
