"""What crosses a process boundary: wire and job types, error and close-code tables, Redis key names.

Imports the standard library and pydantic only, so that a client in another repository could take this folder alone.
"""
