"""Each trouble of a connection is one sentence, and says whether the chat can go on."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.http11 import Response

from pmcp_client import CallFailed, ConnectionLost, StreamBroken
from pmcp_local.chat_client import ChatFailure, explained, open_chat
from pmcp_local.ports import find_free

URL = "ws://127.0.0.1:8000/mcp"


@pytest.mark.parametrize(
    ("trouble", "sentence", "final"),
    [
        (CallFailed(-32000, "Persona not found: x", {}, retryable=False), "Persona not found: x.", False),
        (StreamBroken("a gap"), "The reply was damaged on its way: a gap.", False),
        (ConnectionLost(1012, "deploy"), f"The gateway at {URL} closed the connection.", True),
        (InvalidURI("x", "no"), "x is not an address of a gateway", True),
        (InvalidStatus(Response(404, "Not Found", Headers())), "is not a gateway of ours.", True),
        (TimeoutError(), "does not answer in time.", True),
        (ConnectionRefusedError(), "No gateway answers at", True),
    ],
)
def test_troubles_become_sentences(trouble: Exception, sentence: str, final: bool) -> None:
    with pytest.raises(ChatFailure) as caught, explained("x" if isinstance(trouble, InvalidURI) else URL):
        raise trouble
    assert sentence in str(caught.value)
    assert caught.value.final is final


async def test_nobody_there_is_one_sentence() -> None:
    url = f"ws://127.0.0.1:{find_free(1)[0]}/mcp"
    with pytest.raises(ChatFailure, match=f"No gateway answers at {url}"):
        async with open_chat(url, "player"):
            pass
