"""Measurements of memory: what is found, how fast, what writing costs. `python -m bench.memory --help`."""
