"""A simulation's scenario (TOML), the record of what happened in it, and whether that was what was expected. Pure.

Times are seconds. A record holds its scenario, so that it can be shown and judged again without a server.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmcp_common.contracts.talks import CONTINUE_AT

DEFAULT_TOPICS = ("gossip", "travel", "magic", "stories", "local_news")
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expectations(Part):
    """What must be true afterwards; None: not asked for."""

    min_conversations: int | None = Field(default=None, ge=0)
    min_turns: int | None = Field(default=None, ge=0)
    max_turns: int | None = Field(default=None, ge=0)
    all_speak: bool = Field(default=False, description="each persona says something")
    within_budget: bool = Field(default=True, description="no conversation uses more tokens than it has")
    turns_alternate: bool = Field(default=True, description="nobody speaks twice in a row")
    cooldowns: bool = Field(default=True, description="whoever talked rests afterwards")
    no_fallback: bool = Field(default=False, description="the model answered each time")
    ends: tuple[Name, ...] = Field(default=(), description="every conversation ends in one of these ways")
    mentions: tuple[Name, ...] = Field(default=(), description="words somebody says")
    max_reply_seconds: float | None = Field(default=None, gt=0)


class Scenario(Part):
    name: Name = "simulation"
    personas: tuple[Name, ...] = Field(default=("aria", "kira"), min_length=2, max_length=50)
    topics: tuple[Name, ...] = Field(default=DEFAULT_TOPICS, min_length=1)
    minutes: float = Field(default=5.0, gt=0, le=24 * 60, description="of real time, at most")
    token_budget: int = Field(default=500, ge=1, le=100_000, description="output tokens of one conversation")
    max_conversations: int | None = Field(default=None, ge=1)
    max_turns: int | None = Field(default=None, ge=1, description="of all conversations together")
    seed: int = Field(default=0, description="the same seed makes the same choices of pairs and topics")
    expect: Expectations = Expectations()


class Spoken(Part):
    speaker: str
    listener: str
    content: str
    response_type: str
    routing: str
    score: float | None
    tokens: int
    seconds: float
    at_seconds: float = Field(description="since the start of the simulation")


class Conversation(Part):
    conversation_id: str
    topic: str
    participants: tuple[str, str]
    token_budget: int
    turns: tuple[Spoken, ...]
    end: str = Field(description="farewell, a reason of ours, or the error that broke it off")
    cooldowns: dict[str, float]

    @property
    def tokens(self) -> int:
        return sum(turn.tokens for turn in self.turns)


class Record(Part):
    scenario: Scenario
    conversations: tuple[Conversation, ...]
    seconds: float

    @property
    def turns(self) -> list[Spoken]:
        return [turn for conversation in self.conversations for turn in conversation.turns]


class WrongScenario(Exception):
    """The text is one sentence for each mistake."""


def read_scenario(path: Path) -> Scenario:
    try:
        return Scenario.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WrongScenario(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongScenario(f"{path}: is not TOML ({error}).") from error
    except ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}." for fault in error.errors()]
        raise WrongScenario("\n".join(faults)) from error


def read_record(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WrongScenario(f"{path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        raise WrongScenario(f"{path}: is no record of a simulation.") from error


def disappointments(record: Record) -> list[str]:
    """One sentence for each expectation that was not met."""
    return list(_of_amounts(record)) + list(_of_conversations(record)) + list(_of_words(record))


def _of_amounts(record: Record) -> Iterator[str]:
    expect, turns = record.scenario.expect, len(record.turns)
    if expect.min_conversations is not None and len(record.conversations) < expect.min_conversations:
        yield f"{len(record.conversations)} conversations, fewer than {expect.min_conversations}."
    if expect.min_turns is not None and turns < expect.min_turns:
        yield f"{turns} turns, fewer than {expect.min_turns}."
    if expect.max_turns is not None and turns > expect.max_turns:
        yield f"{turns} turns, more than {expect.max_turns}."
    spoke = Counter(turn.speaker.lower() for turn in record.turns)
    if expect.all_speak:
        silent = {name for one in record.conversations for name in one.participants if not spoke[name.lower()]}
        yield from (f"{name} said nothing." for name in sorted(silent))


def _of_conversations(record: Record) -> Iterator[str]:
    expect = record.scenario.expect
    for conversation in record.conversations:
        name = f"{' and '.join(conversation.participants)} about {conversation.topic}"
        if expect.within_budget and conversation.tokens > conversation.token_budget:
            yield f"{name}: {conversation.tokens} tokens, more than {conversation.token_budget}."
        speakers = [turn.speaker for turn in conversation.turns]
        if expect.turns_alternate and any(a == b for a, b in pairwise(speakers)):
            yield f"{name}: somebody spoke twice in a row."
        if expect.cooldowns and conversation.turns and not all(conversation.cooldowns.values()):
            yield f"{name}: somebody does not rest."
        if expect.ends and conversation.end not in expect.ends:
            yield f"{name}: ended by {conversation.end}."


def _of_words(record: Record) -> Iterator[str]:
    expect = record.scenario.expect
    said = "\n".join(turn.content for turn in record.turns).lower()
    yield from (f"Nobody mentioned {word}." for word in expect.mentions if word.lower() not in said)
    for turn in record.turns:
        if expect.no_fallback and turn.response_type == "fallback":
            yield f"{turn.speaker} had no model at {turn.at_seconds:.0f} s."
        if expect.max_reply_seconds is not None and turn.seconds > expect.max_reply_seconds:
            yield f"{turn.speaker} took {turn.seconds:.1f} s at {turn.at_seconds:.0f} s."
        if turn.routing != "closing" and turn.score is not None and turn.score < CONTINUE_AT:
            yield f"{turn.speaker} went on at a score of {turn.score:.0f}."
