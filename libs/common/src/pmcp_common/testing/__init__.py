"""Shipped test doubles: fakes proven by the same contract tests as the real thing, and harness servers."""
