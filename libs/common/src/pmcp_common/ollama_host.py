"""Ollama's own variable, `OLLAMA_HOST`, as an address to connect to. Pure; the worker and the local stack read it."""

from __future__ import annotations

OLLAMA_PORT = 11434


def normalise_ollama_host(host: str) -> str:
    """Ollama's own variable may lack the scheme or the port, and names 0.0.0.0 for the server's side."""
    text = host.strip().rstrip("/") or "127.0.0.1"
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    rest, slash, path = rest.partition("/")
    name, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]") or not port.isdigit():
        name, port = rest, {"http": str(OLLAMA_PORT), "https": "443"}.get(scheme, str(OLLAMA_PORT))
    if name in ("", "0.0.0.0"):
        name = "127.0.0.1"
    return f"{scheme}://{name}:{port}{slash}{path}"
