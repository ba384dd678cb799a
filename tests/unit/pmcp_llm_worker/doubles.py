"""Doubles for the worker's tests: peers, model, clock and spool in memory, and the wiring of one reply."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pmcp_common.contracts.errors import DomainError, PersonaNotFound
from pmcp_common.contracts.jobs import Claim, End, Submission
from pmcp_common.contracts.memories import (
    CommitTurns,
    ContextRequest,
    ContextResponse,
    MemoryStats,
    RecalledMemory,
    RecallRequest,
    RecallResponse,
    RememberRequest,
    Role,
    Turn,
)
from pmcp_common.contracts.personas import (
    ConversationEnd,
    Interaction,
    InteractionState,
    Persona,
    PersonaTurnContext,
    PersonaView,
)
from pmcp_common.testing.broker_memory import MemoryBroker
from pmcp_llm_worker.chat_turn import ChatTurn
from pmcp_llm_worker.emitter import EmitterHub
from pmcp_llm_worker.jobs import ReplyJob
from pmcp_llm_worker.leases import Leases
from pmcp_llm_worker.model import Generation, ModelReport, Patience, Prompt, TextSink, Usage
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.persona_cache import PersonaCache
from pmcp_llm_worker.speech import ReplyLimits
from pmcp_llm_worker.turn_spool import SpooledTurns

NOW = datetime(2026, 5, 9, 10, 30, tzinfo=UTC)
TENANT = "local"


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


class SteppingClock:
    """Stands still until told; wall and monotonic time move together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def aria(**changes: object) -> Persona:
    fields: dict[str, object] = {
        "id": "p-aria",
        "version": 1,
        "name": "Aria",
        "description": "Aria is an elven bard.",
        "background": "She was born in Silverglade.",
        "speaking_style": "She speaks warmly.",
        "topic_preferences": {"music": 95, "local_news": 60},
        "charisma": 18,
        "available_time": 600,
        "energy": 150,
        "fallback_lines": ("My lute string broke.", "The tavern is loud."),
        "created_at": NOW,
    }
    return Persona.model_validate(fields | changes)


def standing(**changes: object) -> InteractionState:
    fields: dict[str, object] = {
        "is_available": True,
        "last_updated": NOW,
        "available_time": 600,
        "social_energy": 150,
        "current_priority": "social",
    }
    return InteractionState.model_validate(fields | changes)


def turn(number: int, role: Role, content: str) -> Turn:
    return Turn(
        message_id=f"old-{number}",
        conversation_id="conv_x",
        persona_id="p-aria",
        player_id="player",
        role=role,
        content=content,
        created_at=NOW - timedelta(minutes=100 - number),
    )


def memory(number: int, content: str) -> RecalledMemory:
    return RecalledMemory(
        id=f"m{number}",
        content=content,
        memory_type="user_input",
        importance=0.5,
        emotional_valence=0.0,
        related_personas=(),
        visibility="private",
        created_at=NOW,
        accessed_count=0,
        similarity=0.9 - number / 100,
    )


def submission(job_id: str = "job-1", **changes: object) -> Submission:
    fields: dict[str, object] = {
        "tenant": TENANT,
        "principal": "local",
        "job_id": job_id,
        "message_id": f"reply-{job_id}",
        "user_message_id": f"user-{job_id}",
        "session_id": "s",
        "player_id": "player",
        "message": "Hello, who are you?",
        "token_budget": 100,
        "streaming": True,
        "gateway_id": "g1",
        "request_id": f"request-{job_id}",
        "accepted_at_ms": int(NOW.timestamp() * 1000),
        "persona_id": "p-aria",
        "persona_name": "Aria",
    }
    return Submission(**(fields | changes))  # type: ignore[arg-type]


class Personas:
    """`failure` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.persona: Persona | None = aria()
        self.state = standing()
        self.strength = 0.0
        self.failure: DomainError | None = None
        self.known_versions: list[int | None] = []
        self.interactions: list[Interaction] = []
        self.ended: list[tuple[str, ConversationEnd]] = []

    async def turn_context(
        self, tenant: str, persona_id: str, player_id: str, known_version: int | None
    ) -> PersonaTurnContext:
        self.known_versions.append(known_version)
        if self.failure:
            raise self.failure
        if self.persona is None:
            raise PersonaNotFound(persona_id)
        version = self.persona.version
        sent = None if known_version == version else self.persona
        return PersonaTurnContext(
            persona=sent, version=version, interaction_state=self.state, relationship_strength=self.strength
        )

    async def record_interaction(self, tenant: str, persona_id: str, interaction: Interaction) -> InteractionState:
        if self.failure:
            raise self.failure
        self.interactions.append(interaction)
        return self.state

    async def end_conversation(self, tenant: str, reference: str, end: ConversationEnd) -> InteractionState:
        if self.failure:
            raise self.failure
        self.ended.append((reference, end))
        return self.state

    async def list(self, tenant: str, player_id: str) -> tuple[PersonaView, ...]:
        raise NotImplementedError

    async def get(self, tenant: str, reference: str, player_id: str) -> PersonaView:
        raise NotImplementedError


class Memory:
    def __init__(self) -> None:
        self.rows: dict[str, Turn] = {}
        self.turns: tuple[Turn, ...] = ()
        self.memories: tuple[RecalledMemory, ...] = ()
        self.recall = "ok"
        self.failure: DomainError | None = None
        self.commit_failure: DomainError | None = None
        self.before_commit: Callable[[], None] = lambda: None
        self.remembered: list[RememberRequest] = []

    async def context(self, tenant: str, request: ContextRequest) -> ContextResponse:
        if self.failure:
            raise self.failure
        return ContextResponse.model_validate(
            {"turns": self.turns, "summary": None, "memories": self.memories, "recall": self.recall}
        )

    async def commit(self, tenant: str, turns: CommitTurns) -> int:
        self.before_commit()
        if self.commit_failure or self.failure:
            raise self.commit_failure or self.failure  # type: ignore[misc]
        new = [row for row in turns.turns if row.message_id not in self.rows]
        self.rows.update({row.message_id: row for row in new})
        return len(new)

    async def remember(self, tenant: str, request: RememberRequest) -> int:
        if self.failure:
            raise self.failure
        self.remembered.append(request)
        return len(request.message_ids)

    async def turn(self, tenant: str, message_id: str) -> Turn | None:
        if self.failure:
            raise self.failure
        return self.rows.get(message_id)

    async def search(self, tenant: str, request: RecallRequest) -> RecallResponse:
        raise NotImplementedError

    async def stats(self, tenant: str, persona_id: str, player_id: str) -> MemoryStats:
        raise NotImplementedError


class Spool:
    def __init__(self) -> None:
        self.entries: list[SpooledTurns] = []
        self.refused: list[SpooledTurns] = []
        self.failure: DomainError | None = None
        self.tries: Counter[str] = Counter()
        self.seconds = 0.0
        """Since the first try; set by a test."""

    async def put(self, tenant: str, turns: CommitTurns) -> None:
        if self.failure:
            raise self.failure
        self.entries.append(SpooledTurns(f"{len(self.entries)}-0", tenant, turns))

    async def oldest(self) -> Sequence[SpooledTurns]:
        return self.entries[:100]

    async def remove(self, entry: SpooledTurns) -> None:
        self.entries.remove(entry)

    async def count_try(self, entry: SpooledTurns) -> tuple[int, float]:
        self.tries[entry.entry_id] += 1
        return self.tries[entry.entry_id], self.seconds

    async def set_aside(self, entry: SpooledTurns, reason: str) -> None:
        self.entries.remove(entry)
        self.refused.append(entry)


Step = str | Exception | asyncio.Event | Callable[[], None]


class ScriptedModel:
    """Each call plays the next list of steps: a piece, a failure, something to do, or an event to wait for."""

    provider = "scripted"

    def __init__(self, *calls: Sequence[Step], model: str = "m1") -> None:
        self.model = model
        self.calls = list(calls)
        self.prompts: list[Prompt] = []
        self.generations: list[Generation] = []
        self.patience: list[Patience] = []
        self.cancelled = 0
        self.waiting = asyncio.Event()
        self.ok = False
        self.finish_reason = "stop"
        self.counts = True

    async def generate(self, prompt: Prompt, generation: Generation, patience: Patience, sink: TextSink) -> Usage:
        self.prompts.append(prompt)
        self.generations.append(generation)
        self.patience.append(patience)
        steps = self.calls.pop(0)
        pieces = 0
        try:
            for step in steps:
                if isinstance(step, str):
                    sink(step)
                    pieces += 1
                elif isinstance(step, Exception):
                    raise step
                elif isinstance(step, asyncio.Event):
                    self.waiting.set()
                    await step.wait()
                else:
                    step()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Usage(self.finish_reason, self.model, 11, pieces if self.counts else None)

    async def verify(self) -> ModelReport:
        return ModelReport(self.provider, self.model, (self.model,), NOW, self.ok, "" if self.ok else "away")


@dataclass
class Stage:
    """One worker with everything around it in memory."""

    model: ScriptedModel
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    personas: Personas = field(default_factory=Personas)
    memory: Memory = field(default_factory=Memory)
    spool: Spool = field(default_factory=Spool)
    clock: SteppingClock = field(default_factory=SteppingClock)
    models: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leases = Leases(self.broker)
        self.hub = EmitterHub(self.broker, self.clock)
        self.turn = ChatTurn(
            queue=self.broker,
            bus=self.broker,
            hub=self.hub,
            personas=PersonaCache(self.personas),
            memory=self.memory,
            model=RetryingModel(self.model, self.clock, sleep=no_sleep),
            spool=self.spool,
            clock=self.clock,
            limits=ReplyLimits(Generation(max_tokens=50, num_ctx=2048), Patience()),
            sleep=no_sleep,
        )
        self.job = ReplyJob(self.broker, self.broker, self.leases, self.turn, self.models.append, sleep=no_sleep)

    async def submit(self, job_id: str = "job-1", /, **changes: object) -> None:
        await self.broker.submit(submission(job_id, **changes))

    async def work(self) -> None:
        """Run the next job in line."""
        tenant, job_id, ticket = await self.broker.take_ticket()
        async with asyncio.timeout(5):
            await self.job(tenant, job_id, ticket)

    async def answer(self, **changes: object) -> End:
        await self.submit(**changes)
        await self.work()
        return await self.end()

    async def events(self, job_id: str = "job-1") -> list[object]:
        return list((await self.broker.read(TENANT, "local", job_id, 0)).events)

    async def end(self, job_id: str = "job-1") -> End:
        """The one terminal event, and it is the last."""
        events = await self.events(job_id)
        ends = [event for event in events if isinstance(event, End)]
        assert len(ends) == 1
        assert events[-1] is ends[0]
        return ends[0]


async def claimed(broker: MemoryBroker, job_id: str = "job-1", **changes: object) -> Claim:
    await broker.submit(submission(job_id, **changes))
    claim = await broker.claim(TENANT, job_id)
    assert isinstance(claim, Claim)
    return claim


def words(*pieces: str) -> Stage:
    """Where the model says this."""
    return Stage(ScriptedModel(pieces))
