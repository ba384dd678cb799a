"""The llm-worker: one reply at a time, from a claimed job to its terminal event; and what follows off the path."""
