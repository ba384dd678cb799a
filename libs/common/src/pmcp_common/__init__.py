"""Contracts and plumbing that two or more processes share. It decides nothing about personas, memories or chats."""
