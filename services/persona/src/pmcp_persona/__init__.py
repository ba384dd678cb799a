"""The persona service: who the personas are and how each of them stands towards each player."""
