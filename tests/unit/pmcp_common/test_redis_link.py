"""What Redis refuses becomes one of our errors, and the scripts know the one table of states."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pmcp_common.contracts.errors import InternalError, Unavailable
from pmcp_common.contracts.jobs import TERMINAL_STATES, TRANSITIONS
from pmcp_common.redis_link import LinkConnection, broker_errors, script_constants


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("gone"),
        RedisTimeoutError("silent"),
        OSError("no route"),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
        ResponseError("READONLY You can't write against a read only replica."),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("LOADING Redis is loading the dataset in memory"),
    ],
    ids=lambda error: str(error)[:12],
)
def test_what_may_pass_is_unavailable_with_a_time_to_come_back(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, broker_errors():
        raise error
    assert caught.value.data["retry_after"] > 0


def test_what_will_not_pass_is_a_fault_of_ours() -> None:
    with pytest.raises(InternalError), broker_errors():
        raise RedisError("ERR unknown command")


def test_the_scripts_get_every_transition_and_every_end() -> None:
    text = script_constants()
    for (state, event), then in TRANSITIONS.items():
        assert f"['{state} {event}'] = '{then}'" in text
    for state in TERMINAL_STATES:
        assert f"['{state}'] = true" in text


async def test_a_write_to_a_socket_that_uvloop_has_closed_is_a_lost_connection() -> None:
    class Closed:
        def writelines(self, _lines: object) -> None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

        def close(self) -> None: ...

        async def wait_closed(self) -> None: ...

    connection = LinkConnection(socket_timeout=None, health_check_interval=0)
    connection._reader, connection._writer = object(), Closed()  # type: ignore[assignment]
    with pytest.raises(RedisConnectionError):
        await connection.send_command("GET", "key")
    assert not connection.is_connected
