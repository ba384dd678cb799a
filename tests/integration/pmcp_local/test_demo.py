"""The demo as a newcomer runs it: every service and the real small model, from a pipe, and then nothing is left."""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.pmcp_local.stack_process import CTRL_C, NewStack, StackProcess

PARTS = ("postgres", "valkey", "model", "persona", "memory", "worker", "gateway")
DEMO = ("-m", "pmcp_local", "demo", "--free-ports")
REPLY_SECONDS = 60.0  # a busy machine writes a few tokens a second


async def _converse(stack: StackProcess, *lines: str) -> int:
    await stack.start(*DEMO)
    assert stack.process.stdin is not None
    stack.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
    stack.process.stdin.close()
    return await stack.ended(REPLY_SECONDS)


async def test_a_piped_demo_answers_every_line_and_leaves_nothing(new_stack: NewStack) -> None:
    stack = new_stack(PMCP_MODEL_API="embedded")
    code = await _converse(stack, "Hello, who are you?", "What did I just ask you?", "/list", "/memory hello")
    assert code == 0, stack.said()
    lines = stack.said().splitlines()
    for part in PARTS:
        assert [line for line in lines if line.split()[:1] == [part] and "ready in" in line], stack.said()
    assert "smollm2-135m-instruct answers, from the embedded model server (as configured)." in lines
    replies = [line for line in lines if line.startswith("Aria> ")]
    assert len(replies) == 2
    assert all(len(reply) > len("Aria> ") for reply in replies)
    assert "[fallback" not in stack.said()
    assert any(line.startswith("  Kira: ") for line in lines)
    assert not stack.living()


async def test_a_second_demo_starts_in_under_ten_seconds(new_stack: NewStack) -> None:
    assert await _converse(new_stack("kept", PMCP_MODEL_API="embedded"), "/quit") == 0
    again = new_stack("kept", PMCP_MODEL_API="embedded")
    began = time.monotonic()
    await again.start(*DEMO)
    await again.read_until("You are talking to Aria.")
    assert time.monotonic() - began < 10.0


async def test_ctrl_c_in_the_middle_of_a_reply_leaves_nothing(new_stack: NewStack) -> None:
    stack = new_stack(PMCP_MODEL_API="embedded")
    await stack.start(*DEMO)
    assert stack.process.stdin is not None
    stack.process.stdin.write(b"Tell me a long story.\n")
    await stack.read_text("Aria> ")
    stack.interrupt(signal.SIGINT)
    assert await stack.ended() == 130
    assert not stack.living()


@pytest.mark.parametrize("presses", [1, 3])
async def test_ctrl_c_at_the_prompt_of_a_terminal_leaves_without_a_trace(new_stack: NewStack, presses: int) -> None:
    stack = new_stack()
    async with stack.at_a_terminal(*DEMO) as terminal:
        await terminal.read_text("you> ")
        for _ in range(presses):
            terminal.press(CTRL_C)
        assert await terminal.ended() == 130
    assert "Traceback" not in terminal.said
    assert "Error" not in terminal.said
    assert not stack.living()


async def test_a_configured_model_that_is_away_gives_canned_lines_that_say_so(new_stack: NewStack) -> None:
    stack = new_stack()  # its model is at an address where nobody answers
    assert await _converse(stack, "Hello") == 0
    assert "[fallback: " in stack.said()
    assert "Traceback" not in stack.said()
