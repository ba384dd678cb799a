"""`pmcp check`: every method of a deployment once, over the public protocol; a table of outcomes and an exit code.

Works against any gateway: it knows the address and the contracts, nothing else. Comes as a player nobody knows.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pmcp_client import CallFailed, Client, ClientError, connect
from pmcp_common.contracts.errors import INVALID_PARAMS, METHOD_NOT_FOUND
from pmcp_common.contracts.methods import METHODS
from pmcp_local.chat_client import explained
from pmcp_local.checks import CHECKS, Check, Fields, Visit

REPLY_SECONDS = 120.0
"""A small model on one core takes its time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    method: str
    trouble: str | None
    milliseconds: float

    @property
    def line(self) -> str:
        verdict = "ok" if self.trouble is None else "FAILED"
        return f"  {self.method:<34} {verdict:<7} {self.milliseconds:8.0f} ms  {self.trouble or ''}".rstrip()


def check_deployment(url: str, say: Callable[[str], None], checks: Sequence[Check] = CHECKS) -> int:
    """Exit code: 0 when every method did what it promises. Raises ChatFailure when nobody can be reached."""
    with explained(url):
        outcomes = asyncio.run(_visit(url, say, checks))
    failed = [outcome for outcome in outcomes if outcome.trouble is not None]
    say(f"{len(outcomes) - len(failed)} of {len(outcomes)} checks passed.")
    return 1 if failed else 0


async def _visit(url: str, say: Callable[[str], None], checks: Sequence[Check]) -> list[Outcome]:
    name = f"check-{uuid.uuid4().hex[:12]}"
    outcomes = []
    async with connect(url, player_id=name, reconnect=None) as client:
        visit = Visit(name)
        say(f"Checking {url} as the player {name}:")
        for check in checks:
            if not _applies(check, visit):
                continue
            outcomes.append(await _timed(check.method, _carry_out(client, visit, check)))
            say(outcomes[-1].line)
        for title, method, params, code in REFUSALS:
            outcomes.append(await _timed(title, _refused(client, method, params, code)))
            say(outcomes[-1].line)
    return outcomes


REFUSALS: tuple[tuple[str, str, Fields, int], ...] = (
    ("(an unknown method is refused)", "no.such_method", {}, METHOD_NOT_FOUND.code),
    ("(a missing parameter is refused)", "persona.switch", {}, INVALID_PARAMS.code),
)


def _applies(check: Check, visit: Visit) -> bool:
    """One that cannot tell, because an earlier row failed, is left out as well: that row has been told of."""
    try:
        return check.when(visit)
    except KeyError:
        return False


async def _timed(title: str, trouble: Awaitable[str | None]) -> Outcome:
    started = time.perf_counter()
    text = await trouble
    return Outcome(title, text, (time.perf_counter() - started) * 1000)


async def _carry_out(client: Client, visit: Visit, check: Check) -> str | None:
    try:
        result = await _ask(client, check.method, check.params(visit))
        visit.told[check.method] = result
        return _form_of(check.method, result) or check.judge(visit, result)
    except CallFailed as error:
        return f"{error.code}: {error.message}"
    except TimeoutError:
        return f"no answer within {REPLY_SECONDS:g} s"
    except ClientError as error:
        return str(error)
    except (KeyError, TypeError) as error:
        return f"the answer lacks {error}"


async def _ask(client: Client, method: str, params: Fields) -> Fields:
    if METHODS[method].result is not None:
        return await client.call(method, params, REPLY_SECONDS)
    stream = await client.stream(method, params)
    async with asyncio.timeout(REPLY_SECONDS):
        await stream.text()
    return stream.terminal or {}


def _form_of(method: str, result: Fields) -> str | None:
    """What the contract misses in an answer. Fields it does not know are a newer server's."""
    model = METHODS[method].result
    if model is None:
        return None
    try:
        model.model_validate(result)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["type"] != "extra_forbidden"]
        if faults:
            return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3])
    return None


async def _refused(client: Client, method: str, params: Fields, code: int) -> str | None:
    try:
        await client.call(method, params, REPLY_SECONDS)
    except CallFailed as error:
        return None if error.code == code else f"code {error.code} instead of {code}"
    except (ClientError, TimeoutError) as error:
        return str(error) or "no answer"
    return "it was accepted"
