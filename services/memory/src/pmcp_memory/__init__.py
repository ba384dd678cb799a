"""The memory service: conversations, turns, summaries, memories and their recall. Talks to no other
service."""
