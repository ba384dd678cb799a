"""The typed client of Persona MCP: connect, call, stream. Imports `pmcp_common.contracts` and nothing else of ours.

A lost socket is replaced and its streams go on where they were: the application notices a pause at most. The same for
a request that is refused for now, as while Redis is away: within its `timeout_seconds` it is sent again, if it may be
done twice (messages, by a key the client makes, and what only reads).

async with connect("ws://127.0.0.1:8000/mcp", player_id="ann") as client:
    await client.call("persona.switch", {"persona_id": "Aria"})
    stream = await client.stream("persona.chat_stream", {"message": "Hello!"})
    async for text in stream:
        ...
    stream.terminal["sha256"]
"""

from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client, connect
from pmcp_client.failures import CallFailed, ClientError, ConnectionLost, StreamBroken, StreamFailed, StreamNotResumable
from pmcp_client.stream import ReplyStream, Restarted

__all__ = [
    "CallFailed",
    "Client",
    "ClientError",
    "ConnectionLost",
    "Reconnect",
    "ReplyStream",
    "Restarted",
    "StreamBroken",
    "StreamFailed",
    "StreamNotResumable",
    "connect",
]
