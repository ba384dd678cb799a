"""Faults on the whole stack, the clients that live through them, and the figure that follows.

`python -m bench.soak` is the long form; `tests/faults` uses the same parts for the short one. Above the shipped harness
(`pmcp_common.testing`) and `pmcp_local`; nothing of it is imported by a service.
"""
