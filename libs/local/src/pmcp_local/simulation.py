"""`pmcp simulate`: personas talk to each other over the public protocol, as any client could have them do.

Whom to bring together is drawn with a seed, the livelier pair more often (the lesser charisma of the two and a
twentieth of their energy); how long they talk, the server's continue score decides. Who has talked rests; when all
rest, so does the simulation.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pmcp_client import CallFailed, Client, connect
from pmcp_common.contracts.errors import PERSONA_UNAVAILABLE
from pmcp_local.chat_client import explained
from pmcp_local.scenario import Conversation, Record, Scenario, Spoken

REPLY_SECONDS = 300.0
REST_SECONDS = 30.0
"""How long a pair that refused is left alone when it does not say for how long it rests."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Pair:
    first: str
    second: str
    """Ids."""
    weight: float
    rests_until: float = 0.0


def simulate(url: str, scenario: Scenario, say: Say) -> Record:
    """Raises ChatFailure, CallFailed."""
    with explained(url):
        return asyncio.run(_connected(url, scenario, say))


async def _connected(url: str, scenario: Scenario, say: Say) -> Record:
    async with connect(url, player_id=f"simulation-{scenario.seed}") as client:
        return await Simulation(client, scenario, say).run()


@dataclass
class Simulation:
    client: Client
    scenario: Scenario
    say: Say
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    conversations: list[Conversation] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    async def run(self) -> Record:
        self._random = random.Random(self.scenario.seed)
        self._started = self.monotonic()
        pairs = await self._pairs()
        while self._goes_on():
            now = self._now()
            ready = [pair for pair in pairs if pair.rests_until <= now]
            if ready:
                await self._bring_together(self._draw(ready))
                continue
            wake = min(pair.rests_until for pair in pairs)
            if wake >= self.scenario.minutes * 60:
                self.say("Everybody rests until after the end.")
                break
            self.say(f"Everybody rests for {wake - now:.0f} s.")
            await self.sleep(wake - now)
        return Record(scenario=self.scenario, conversations=tuple(self.conversations), seconds=round(self._now(), 1))

    def _now(self) -> float:
        return self.monotonic() - self._started

    def _goes_on(self) -> bool:
        limits = self.scenario
        turns = sum(len(conversation.turns) for conversation in self.conversations)
        return (
            self._now() < limits.minutes * 60
            and (limits.max_conversations is None or len(self.conversations) < limits.max_conversations)
            and (limits.max_turns is None or turns < limits.max_turns)
        )

    async def _pairs(self) -> list[Pair]:
        weights = {}
        for reference in self.scenario.personas:
            status = await self.client.call("persona.status", {"persona_id": reference})
            persona, state = status["persona"], status["interaction_state"]
            self.names[persona["id"]] = persona["name"]
            weights[persona["id"]] = (persona["charisma"], state["social_energy"])
        return [
            Pair(one, other, min(weights[one][0], weights[other][0]) + (weights[one][1] + weights[other][1]) / 40)
            for one, other in itertools.combinations(weights, 2)
        ]

    def _draw(self, ready: list[Pair]) -> Pair:
        return self._random.choices(ready, [pair.weight for pair in ready])[0]

    async def _bring_together(self, pair: Pair) -> None:
        one, other = self._random.sample([pair.first, pair.second], 2)
        topic = self._random.choice(self.scenario.topics)
        params = {"persona1_id": one, "persona2_id": other, "topic": topic, "token_budget": self.scenario.token_budget}
        try:
            started = await self.client.call("conversation.start", params)
        except CallFailed as error:
            if error.code != PERSONA_UNAVAILABLE.code:
                raise
            rest = float(error.data.get("cooldown_remaining") or REST_SECONDS)
            pair.rests_until = self._now() + max(1.0, rest)
            self.say(f"{error.message}.")
            return
        self.say(f"\n{self.names[one]} and {self.names[other]} talk about {topic}:")
        conversation = await self._talk(started["conversation_id"], (one, other), topic)
        self.conversations.append(conversation)
        pair.rests_until = self._now() + max([1.0, *conversation.cooldowns.values()])

    async def _talk(self, conversation_id: str, pair: tuple[str, str], topic: str) -> Conversation:
        turns: list[Spoken] = []
        end = "out of time"
        cooldowns: dict[str, float] = {}
        while self._now() < self.scenario.minutes * 60 and not self._enough(len(turns)):
            try:
                answer = await self.client.call(
                    "conversation.advance", {"conversation_id": conversation_id}, REPLY_SECONDS
                )
            except CallFailed as error:
                end = error.message
                break
            turns.append(self._heard(answer))
            if answer["ended"]:
                end, cooldowns = "farewell", self._named(answer["cooldown_seconds"])
                break
        if end != "farewell":
            cooldowns = await self._end(conversation_id, end)
        return Conversation(
            conversation_id=conversation_id,
            topic=topic,
            participants=(self.names[pair[0]], self.names[pair[1]]),
            token_budget=self.scenario.token_budget,
            turns=tuple(turns),
            end=end,
            cooldowns=cooldowns,
        )

    def _enough(self, turns: int) -> bool:
        said = sum(len(conversation.turns) for conversation in self.conversations)
        return self.scenario.max_turns is not None and said + turns >= self.scenario.max_turns

    def _heard(self, answer: dict[str, Any]) -> Spoken:
        turn = Spoken(
            speaker=answer["speaker_name"],
            listener=self.names[answer["listener_id"]],
            content=answer["content"],
            response_type=answer["response_type"],
            routing=answer["routing"],
            score=answer["continue_score"],
            tokens=answer["tokens_used"],
            seconds=answer["processing_time"],
            at_seconds=round(self._now(), 1),
        )
        mark = {"direct": "", "closing": " (takes leave)"}.get(turn.response_type, " (no model)")
        self.say(f"  {turn.speaker}{mark}: {turn.content.strip()}")
        return turn

    async def _end(self, conversation_id: str, end: str) -> dict[str, float]:
        answer = await self.client.call("conversation.end", {"conversation_id": conversation_id, "reason": end[:200]})
        return self._named(answer["cooldown_seconds"])

    def _named(self, cooldowns: dict[str, float]) -> dict[str, float]:
        """By name instead of id."""
        return {self.names[persona]: seconds for persona, seconds in cooldowns.items()}
