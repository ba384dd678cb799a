"""What the model is told, within a token budget (pure).

Order, from stable to volatile, so that a model server's prefix cache is of use: persona, summary, recent turns; and
only in the last user turn what changes with each reply: memories, time and mood, the message. Nothing before the
last message differs between two replies of a conversation, except that a turn is added at its end.

Rule: the persona and the message are never dropped. What stood beside the memories goes first, then the oldest turns,
then the least similar memories; a message that does not fit even then is cut and says so.
"""

from __future__ import annotations

import string
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from pmcp_common.contracts.memories import RecalledMemory, Role, Turn
from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_llm_worker.model import Message, Prompt
from pmcp_llm_worker.persona_text import persona_text

MAX_TURNS = 20
CUT_MARK = " […]"
TOKENS_PER_MESSAGE = 8
"""Role marks of the usual chat templates."""
LETTERS_PER_TOKEN = 3
RESERVE_TOKENS = 16
_LETTERS = (string.ascii_letters + " ").encode()
LOW_ENERGY = 30
LAST_WORDS_CHARS = 160
BESIDE_CHARS = 120
"""Of what was said before a memory, and after it."""


@dataclass(frozen=True, slots=True)
class PromptParts:
    persona: Persona
    state: InteractionState | None
    summary: str | None
    turns: Sequence[Turn]
    """Oldest first."""
    memories: Sequence[RecalledMemory]
    """Most similar first."""
    message: str
    now: datetime
    surroundings: str = ""
    """Sentences on the situation and on how to answer; for this reply only."""
    max_turns: int = MAX_TURNS


@dataclass(frozen=True, slots=True)
class Assembled:
    prompt: Prompt
    tokens: int
    """Estimated."""
    dropped_turns: int
    dropped_memories: int
    message_cut: bool


def estimate_tokens(text: str) -> int:
    """Tokens of `text`, rather too many than too few: three letters or spaces to a token, and one for every other
    byte of UTF-8 (digits, punctuation, other scripts), as byte-level tokenizers do at worst."""
    data = text.encode()
    other = len(data.translate(None, _LETTERS))
    return other + -(-(len(data) - other) // LETTERS_PER_TOKEN)


def assemble(parts: PromptParts, budget_tokens: int) -> Assembled:
    """The prompt, at most `budget_tokens` by the estimate unless the persona alone is more."""
    system = _system(parts)
    turns = list(parts.turns[-parts.max_turns :])
    memories = list(parts.memories)
    message = parts.message
    fixed = _cost(system) + RESERVE_TOKENS

    def total() -> int:
        return fixed + sum(map(_cost, _dialogue(parts, turns, memories, message)))

    excess = total() - budget_tokens
    if excess > 0:
        memories = [memory.model_copy(update={"neighbours": ()}) for memory in memories]
        excess = total() - budget_tokens
    while excess > 0 and turns:
        del turns[0]
        excess = total() - budget_tokens
    while excess > 0 and memories:
        memories.pop()
        excess = total() - budget_tokens
    if excess > 0:
        message = cut_text(message, estimate_tokens(message) - excess)
    dialogue = _dialogue(parts, turns, memories, message)
    return Assembled(
        prompt=Prompt((system, *dialogue)),
        tokens=fixed + sum(map(_cost, dialogue)),
        dropped_turns=len(parts.turns) - len(turns),
        dropped_memories=len(parts.memories) - len(memories),
        message_cut=message != parts.message,
    )


def cut_text(text: str, tokens: int) -> str:
    """The longest beginning of `text` that fits with the mark of the cut; the mark alone when nothing does."""
    room = tokens - estimate_tokens(CUT_MARK)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + CUT_MARK


def _system(parts: PromptParts) -> Message:
    text = persona_text(parts.persona)
    if parts.summary:
        text += f"\n\nWhat happened before: {parts.summary.strip()}"
    return Message("system", text)


def _dialogue(
    parts: PromptParts, turns: Sequence[Turn], memories: Sequence[RecalledMemory], message: str
) -> list[Message]:
    """Roles alternate, as some chat templates demand: what a player said without an answer joins the next message."""
    dialogue: list[Message] = []
    for turn in turns:
        if dialogue or turn.role is Role.USER:
            _add(dialogue, turn.role.value, turn.content)
    _add(dialogue, Role.USER.value, _last_turn(parts, turns, memories, message))
    return dialogue


def _add(dialogue: list[Message], role: str, content: str) -> None:
    if dialogue and dialogue[-1].role == role:
        content = f"{dialogue.pop().content}\n\n{content}"
    dialogue.append(Message(role, content))


def _last_turn(parts: PromptParts, turns: Sequence[Turn], memories: Sequence[RecalledMemory], message: str) -> str:
    """The moment, the message, and what the persona has in mind: last, because small models answer what they read
    last. Plain sentences, because they copy lists."""
    name = parts.persona.name
    told = {turn.content for turn in turns} | {memory.content for memory in memories}
    notes = [f"{name} remembers: {memory.content.strip()}{_beside(memory, told)}" for memory in memories]
    notes += [f"{name} remembers: {words}" for words in _last_words(turns)]
    said = " ".join(part for part in (_moment(parts), parts.surroundings, message) if part)
    return "\n\n".join(part for part in (said, "\n".join(notes)) if part)


def _beside(memory: RecalledMemory, told: Set[str]) -> str:
    """What was said just before a memory and just after it, where the prompt does not say it already: an answer means
    nothing without its question."""
    when = {-1: "Before that", 1: "After that"}
    beside = [
        f'{when[neighbour.step]}: "{_shortened(neighbour.content, BESIDE_CHARS)}"'
        for neighbour in memory.neighbours
        if neighbour.step in when and neighbour.content not in told
    ]
    return f" ({' '.join(beside)})" if beside else ""


def _shortened(text: str, chars: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= chars else text[:chars] + CUT_MARK


def _last_words(turns: Sequence[Turn]) -> list[str]:
    """The player's message before this one, once more: a model of 135 M parameters does not look back by itself."""
    said = [turn.content.strip() for turn in turns if turn.role is Role.USER]
    if not said:
        return []
    words = said[-1] if len(said[-1]) <= LAST_WORDS_CHARS else said[-1][:LAST_WORDS_CHARS] + CUT_MARK
    kind = "question" if words.endswith("?") else "message"
    return [f'the last {kind} was "{words}".']


def _moment(parts: PromptParts) -> str:
    text = f"It is {parts.now:%A} {_part_of_day(parts.now.hour)}."
    if parts.state is not None and parts.state.social_energy < LOW_ENERGY:
        text += f" {parts.persona.name} is tired."
    return text


def _part_of_day(hour: int) -> str:
    if hour < 6 or hour >= 22:
        return "night"
    return "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"


def _cost(message: Message) -> int:
    return estimate_tokens(message.content) + TOKENS_PER_MESSAGE
