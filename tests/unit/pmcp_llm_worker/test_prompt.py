"""The prompt: order from stable to volatile, a budget that holds, and a prefix that stays the same bytes."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.memories import Neighbour, RecalledMemory, Role, Turn
from pmcp_llm_worker.persona_text import persona_text
from pmcp_llm_worker.prompt import (
    CUT_MARK,
    RESERVE_TOKENS,
    TOKENS_PER_MESSAGE,
    Assembled,
    PromptParts,
    assemble,
    cut_text,
    estimate_tokens,
)
from tests.unit.pmcp_llm_worker.doubles import NOW, aria, memory, standing, turn

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=200)
ROLES = st.sampled_from(list(Role))
TURNS = st.lists(st.tuples(ROLES, TEXT), max_size=25)
FIXED_TOKENS = estimate_tokens(persona_text(aria())) + 2 * TOKENS_PER_MESSAGE + RESERVE_TOKENS + 64


def parts(
    turns: list[Turn] | None = None,
    memories: list[RecalledMemory] | None = None,
    message: str = "What did I just ask you?",
    **changes: object,
) -> PromptParts:
    fields: dict[str, object] = {
        "persona": aria(),
        "state": standing(),
        "summary": None,
        "turns": turns or [],
        "memories": memories or [],
        "message": message,
        "now": NOW,
    }
    return PromptParts(**(fields | changes))  # type: ignore[arg-type]


def dialogue(said: list[tuple[Role, str]]) -> list[Turn]:
    return [turn(number, role, text) for number, (role, text) in enumerate(said)]


HISTORY = dialogue([(Role.USER, "Hello, who are you?"), (Role.ASSISTANT, "I am Aria.")])


def roles(assembled: Assembled) -> list[str]:
    return [message.role for message in assembled.prompt.messages]


def test_the_order_is_persona_turns_and_last_what_changes() -> None:
    assembled = assemble(parts(HISTORY, [memory(1, "The guest likes tea.")]), 4000)
    assert roles(assembled) == ["system", "user", "assistant", "user"]
    system, asked, answered, last = assembled.prompt.messages
    assert system.content == persona_text(aria())
    assert (asked.content, answered.content) == ("Hello, who are you?", "I am Aria.")
    assert "What did I just ask you?" in last.content
    assert "The guest likes tea." in last.content
    assert "Saturday morning" in last.content
    assert '"Hello, who are you?"' in last.content


def test_a_summary_has_its_place_behind_the_persona() -> None:
    system = assemble(parts(summary="They met at the inn."), 4000).prompt.messages[0].content
    assert system.startswith(persona_text(aria()))
    assert system.endswith("They met at the inn.")


def test_a_tired_persona_says_so_only_in_the_last_turn() -> None:
    tired = assemble(parts(HISTORY, state=standing(social_energy=12)), 4000)
    rested = assemble(parts(HISTORY), 4000)
    assert tired.prompt.messages[:-1] == rested.prompt.messages[:-1]
    assert "Aria is tired." in tired.prompt.messages[-1].content


def test_a_message_that_was_never_answered_joins_the_next_one() -> None:
    assembled = assemble(parts([*HISTORY, turn(3, Role.USER, "Are you there?")]), 4000)
    assert roles(assembled) == ["system", "user", "assistant", "user"]
    assert assembled.prompt.messages[-1].content.startswith("Are you there?")


def beside(one: RecalledMemory, *said: tuple[int, str]) -> RecalledMemory:
    neighbours = tuple(Neighbour(id=f"n{step}", step=step, speaker=None, content=content) for step, content in said)
    return one.model_copy(update={"neighbours": neighbours})


def test_what_stood_beside_a_memory_comes_along_unless_the_prompt_says_it_already() -> None:
    memories = [
        beside(memory(1, "Yes, in Merrow."), (-1, "Do you live\nby the sea?"), (1, "I am Aria.")),
        beside(memory(2, "I have a dog."), (-1, "Yes, in Merrow."), (1, "word " * 100)),
    ]
    last = assemble(parts(HISTORY, memories), 100_000).prompt.messages[-1].content
    assert 'remembers: Yes, in Merrow. (Before that: "Do you live by the sea?")\n' in last
    assert last.count("Yes, in Merrow.") == 1
    assert f'I have a dog. (After that: "{"word " * 24}{CUT_MARK}")' in last


def test_what_stood_beside_a_memory_goes_first() -> None:
    memories = [beside(memory(1, "Yes, in Merrow."), (-1, "Do you live by the sea?"))]
    whole = assemble(parts(HISTORY, memories), 100_000)
    fewer = assemble(parts(HISTORY, memories), whole.tokens - 1)
    assert (fewer.dropped_turns, fewer.dropped_memories) == (0, 0)
    assert "by the sea" not in fewer.prompt.messages[-1].content


def test_the_oldest_turns_go_first_and_then_the_least_similar_memories() -> None:
    turns = dialogue([(Role.USER, f"question {n} " * 20) for n in range(10)])
    memories = [memory(n, f"memory {n} " * 20) for n in range(5)]
    whole = assemble(parts(turns, memories), 100_000)
    fewer = assemble(parts(turns, memories), whole.tokens - 1)
    assert (fewer.dropped_turns, fewer.dropped_memories) == (1, 0)
    none = assemble(parts(turns, memories), FIXED_TOKENS + 100)
    assert none.dropped_turns == 10
    assert none.dropped_memories > 0
    assert "memory 4" not in none.prompt.messages[-1].content


def test_a_message_too_long_for_the_window_is_cut_and_says_so() -> None:
    assembled = assemble(parts(HISTORY, message="word " * 5000), 500)
    assert assembled.message_cut
    assert CUT_MARK in assembled.prompt.messages[-1].content
    assert assembled.tokens <= 500


@given(TURNS, st.lists(TEXT, max_size=5), st.text(min_size=1, max_size=3000), st.integers(0, 3000))
def test_the_budget_holds(said: list[tuple[Role, str]], recalled: list[str], message: str, extra: int) -> None:
    budget = FIXED_TOKENS + extra
    memories = [memory(n, text) for n, text in enumerate(recalled)]
    message = message.encode("utf-8", "ignore").decode()
    assembled = assemble(parts(dialogue(said), memories, message), budget)
    assert assembled.tokens <= budget
    assert assembled.prompt.messages[0].content == persona_text(aria())
    assert assembled.message_cut or message in assembled.prompt.messages[-1].content
    spoken = roles(assembled)[1:]
    assert all(role == ("user", "assistant")[index % 2] for index, role in enumerate(spoken))
    assert spoken[-1] == "user"


@given(TURNS, TEXT, TEXT)
def test_the_prefix_of_the_next_reply_is_the_same_bytes(said: list[tuple[Role, str]], first: str, answer: str) -> None:
    history = dialogue(said[:18])
    now = assemble(parts(history, message=first), 1_000_000)
    grown = [*history, turn(50, Role.USER, first), turn(51, Role.ASSISTANT, answer)]
    later = assemble(
        parts(grown, [memory(1, "new")], "next", now=NOW + timedelta(hours=5), state=standing(social_energy=5)),
        1_000_000,
    )
    stable = now.prompt.messages[:-1]
    assert later.prompt.messages[: len(stable)] == stable


@given(TEXT)
def test_the_estimate_is_never_less_than_a_quarter_of_the_characters(text: str) -> None:
    assert estimate_tokens(text) * 4 >= len(text)
    assert estimate_tokens(text) <= len(text.encode())


@given(TEXT, st.integers(0, 200))
def test_a_cut_text_fits_and_is_a_beginning(text: str, tokens: int) -> None:
    cut = cut_text(text, tokens)
    assert text.startswith(cut.removesuffix(CUT_MARK))
    assert estimate_tokens(cut) <= max(tokens, estimate_tokens(CUT_MARK)) + 1
