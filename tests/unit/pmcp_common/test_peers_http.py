"""What a service of a newer release answers is read as far as this process knows it; what it lacks is a fault."""

from __future__ import annotations

from typing import Any, cast

import aiohttp
import orjson
import pytest

from pmcp_common.contracts.errors import InternalError
from pmcp_common.contracts.memories import CommitTurns, Role, Turn
from pmcp_common.peers_http import HttpMemoryPeer
from tests.unit.pmcp_llm_worker.doubles import turn

SAID = turn(1, Role.USER, "words")


class Newer(HttpMemoryPeer):
    """Whose service gives one answer to everything."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(cast(aiohttp.ClientSession, None), "http://memory")
        self._answer = orjson.dumps(answer)

    async def _exchange(self, *_: Any, **__: Any) -> tuple[int, bytes]:
        return 200, self._answer


async def test_fields_of_a_newer_service_are_left_aside() -> None:
    assert await Newer({"stored": 1, "new": {"deep": 1}}).commit("local", CommitTurns(turns=(SAID,))) == 1
    stored = SAID.model_dump(mode="json") | {"new": 1}
    assert await Newer(stored).turn("local", SAID.message_id) == Turn.model_validate(SAID)


async def test_an_answer_that_lacks_what_is_needed_is_a_fault() -> None:
    with pytest.raises(InternalError, match="out of contract"):
        await Newer({"new": 1}).commit("local", CommitTurns(turns=(SAID,)))
