"""Measurements, not tests: the load client, the bare relay yardstick and the run that compares the real path to it."""
