"""The supervisor with real PostgreSQL, Valkey and model: what it started is gone when it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import redis

from pmcp_local.ports import is_free
from tests.integration.pmcp_local.stack_process import NewStack, StackProcess, eventually


async def test_everything_comes_up_with_a_line_for_each_part_and_goes_down_on_ctrl_c(new_stack: NewStack) -> None:
    stack = new_stack(PMCP_MODEL_API="embedded")
    await stack.start_up()
    for part, port in (
        ("postgres", stack.postgres_port),
        ("valkey", stack.valkey_port),
        ("model", stack.model_port),
    ):
        assert [line for line in stack.output if line.split()[0] == part and str(port) in line], stack.said()
    stack.interrupt()
    assert await stack.ended() == 130
    assert not stack.living()
    assert all(is_free("127.0.0.1", port) for port in (stack.postgres_port, stack.valkey_port, stack.model_port))


async def test_killed_without_a_word_it_takes_its_children_along(new_stack: NewStack) -> None:
    stack = new_stack(PMCP_MODEL_API="embedded")
    await stack.start_up()
    assert len(stack.living()) > 4  # the supervisor, three servers, PostgreSQL's own children
    stack.process.kill()
    await stack.process.wait()
    assert await stack.left_nothing(), stack.living()


async def _initdb_runs(stack: StackProcess) -> bool:
    return await eventually(lambda: any("initdb" in command for command in stack.living().values()))


async def _a_server_runs(stack: StackProcess) -> bool:
    return await eventually(lambda: any("valkey-server" in command for command in stack.living().values()))


async def _it_has_begun(stack: StackProcess) -> bool:
    return bool(await stack.read_until("Starting"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", [_it_has_begun, _initdb_runs, _a_server_runs])
async def test_ended_in_the_middle_of_its_start_it_leaves_nothing(
    new_stack: NewStack, moment: Callable[[StackProcess], asyncio.Future[bool]], number: int
) -> None:
    stack = new_stack()
    await stack.start()
    assert await moment(stack)
    stack.interrupt(number)
    code = await stack.ended()
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert "Traceback" not in stack.said()
    assert await stack.left_nothing(), stack.living()


async def test_a_start_after_an_interrupted_first_one_begins_afresh(new_stack: NewStack) -> None:
    broken = new_stack()
    await broken.start()
    assert await _initdb_runs(broken)
    broken.process.kill()
    await broken.ended()
    again = new_stack()
    await again.start_up()


async def test_a_second_ctrl_c_hastens_the_end(new_stack: NewStack) -> None:
    stack = new_stack(PMCP_STOP_TIMEOUT_SECONDS="60")
    await stack.start_up()
    valkey = next(pid for pid, command in stack.living().items() if "valkey-server" in command)
    os.kill(valkey, signal.SIGSTOP)  # it will not answer SIGTERM
    stack.interrupt()
    assert not await eventually(lambda: stack.process.returncode is not None, 0.3)
    stack.interrupt()
    assert await stack.ended(5.0) == 130
    assert not stack.living()


async def test_a_child_that_ignores_the_request_to_end_is_killed_in_bounded_time(new_stack: NewStack) -> None:
    stack = new_stack(PMCP_STOP_TIMEOUT_SECONDS="0.2")
    await stack.start_up()
    valkey = next(pid for pid, command in stack.living().items() if "valkey-server" in command)
    os.kill(valkey, signal.SIGSTOP)
    stack.interrupt()
    assert await stack.ended(5.0) == 130
    assert "valkey did not end in time and was killed." in stack.said()


async def test_a_taken_port_is_one_sentence_and_nothing_starts(new_stack: NewStack) -> None:
    first = new_stack("first")
    await first.start_up()
    second = new_stack("second", PMCP_VALKEY_PORT=str(first.valkey_port))
    await second.start()
    assert await second.ended() == 1
    sentence = second.said().splitlines()[-1]
    assert f"Taken by another program is port {first.valkey_port} of valkey (PMCP_VALKEY_PORT)" in sentence
    assert not (second.data_directory / "postgres").exists()


async def test_one_data_directory_serves_one_stack(new_stack: NewStack) -> None:
    first = new_stack("shared")
    await first.start_up()
    second = new_stack("shared")
    await second.start()
    assert await second.ended() == 1
    assert second.said().startswith(f"Another stack (process {first.process.pid}) uses {first.data_directory}")
    assert len(second.said().splitlines()) == 1


async def test_two_stacks_run_side_by_side(new_stack: NewStack) -> None:
    one, two = new_stack("one"), new_stack("two")
    await asyncio.gather(one.start_up(), two.start_up())
    for stack in (one, two):
        with redis.Redis(port=stack.valkey_port) as client:
            client.set("whose", str(stack.data_directory))
    with redis.Redis(port=one.valkey_port, decode_responses=True) as client:
        assert client.get("whose") == str(one.data_directory)


async def test_data_survives_a_restart_and_the_second_start_is_quick(new_stack: NewStack) -> None:
    first = new_stack("kept", PMCP_MODEL_API="embedded")
    await first.start_up()
    await _execute(first, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('evermore')")
    with redis.Redis(port=first.valkey_port) as client:
        client.set("kept", "evermore")
    first.interrupt()
    await first.ended()

    second = new_stack("kept", PMCP_MODEL_API="embedded")
    began = time.monotonic()
    await second.start_up()
    assert time.monotonic() - began < 10.0
    assert await _fetch(second, "SELECT word FROM kept") == "evermore"
    with redis.Redis(port=second.valkey_port, decode_responses=True) as client:
        assert client.get("kept") == "evermore"


async def test_committed_rows_survive_a_kill(new_stack: NewStack) -> None:
    first = new_stack("kept")
    await first.start_up()
    await _execute(first, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('evermore')")
    first.process.kill()
    await first.ended()
    second = new_stack("kept")  # its ports are others: the old server may still be on its way out
    assert await first.left_nothing()
    await second.start_up()
    assert await _fetch(second, "SELECT word FROM kept") == "evermore"


async def test_a_part_that_dies_is_started_again_and_that_is_said(new_stack: NewStack) -> None:
    stack = new_stack()
    await stack.start_up()
    valkey = next(pid for pid, command in stack.living().items() if "valkey-server" in command)
    os.kill(valkey, signal.SIGKILL)
    assert "valkey stopped by itself: ended by SIGKILL." in await stack.read_until("valkey stopped")
    await stack.read_until("Starting it again (1 of 5).")
    await stack.read_until("valkey is back.")
    with redis.Redis(port=stack.valkey_port) as client:
        assert client.ping()


async def test_a_part_that_cannot_start_is_named_with_its_reason_and_its_log(new_stack: NewStack) -> None:
    stack = new_stack()
    manifest = stack.data_directory / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    _write(manifest, "this is no manifest\n")
    await stack.start()
    assert await stack.ended() == 1
    complaint = next(line for line in stack.said().splitlines() if line.startswith("valkey stopped"))
    assert str(stack.data_directory / "logs" / "valkey.log") in complaint
    assert "Traceback" not in stack.said()


async def test_files_of_another_postgres_are_refused_in_one_sentence(new_stack: NewStack) -> None:
    stack = new_stack()
    _write(stack.data_directory / "postgres" / "PG_VERSION", "15\n")
    await stack.start()
    assert await stack.ended() == 1
    assert "was made by PostgreSQL 15 and this is 18" in stack.said()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


async def _execute(stack: StackProcess, statement: str) -> None:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{stack.postgres_port}/pmcp")
    await connection.execute(statement)
    await connection.close()


async def _fetch(stack: StackProcess, query: str) -> object:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{stack.postgres_port}/pmcp")
    value: object = await connection.fetchval(query)
    await connection.close()
    return value
