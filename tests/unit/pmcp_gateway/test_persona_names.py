from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from pmcp_common.contracts.errors import PersonaNotFound, Unavailable
from pmcp_common.contracts.personas import InteractionState, Persona, PersonaView
from pmcp_gateway.methods.persona_names import LIFETIME_SECONDS, MAX_ENTRIES, PersonaName, PersonaNames

from .conftest import SteppedClock

THEN = datetime(2026, 3, 1, tzinfo=UTC)


class Personas:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.silent = False

    async def get(self, tenant: str, reference: str, player_id: str) -> PersonaView:
        self.asked.append(reference)
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise Unavailable("away", retry_after=1.0)
        if reference == "nobody":
            raise PersonaNotFound(reference)
        persona = Persona(id=f"id-{reference.lower()}", version=1, name=reference, created_at=THEN)
        return PersonaView(persona=persona, interaction_state=InteractionState(is_available=True, last_updated=THEN))


def make(clock: SteppedClock | None = None) -> tuple[PersonaNames, Personas]:
    personas: Any = Personas()
    return PersonaNames(personas, clock or SteppedClock()), personas


async def test_any_case_of_a_name_is_asked_once() -> None:
    names, personas = make()
    assert await names.resolve("local", "Aria", "p") == ("id-aria", "Aria")
    assert await names.resolve("local", "ARIA", "q") == ("id-aria", "Aria")
    assert personas.asked == ["Aria"]


async def test_an_answer_is_asked_anew_after_its_life() -> None:
    clock = SteppedClock()
    names, personas = make(clock)
    await names.resolve("local", "Aria", "p")
    clock.seconds += LIFETIME_SECONDS
    await names.resolve("local", "Aria", "p")
    assert personas.asked == ["Aria", "Aria"]


async def test_tenants_do_not_share_names() -> None:
    names, personas = make()
    await names.resolve("one", "Aria", "p")
    await names.resolve("two", "Aria", "p")
    assert personas.asked == ["Aria", "Aria"]


async def test_what_was_not_found_may_exist_the_next_moment() -> None:
    names, personas = make()
    for _ in range(2):
        with pytest.raises(PersonaNotFound):
            await names.resolve("local", "nobody", "p")
    assert personas.asked == ["nobody", "nobody"]


async def test_it_remembers_a_bounded_number() -> None:
    names, personas = make()
    for number in range(MAX_ENTRIES + 1):
        await names.resolve("local", f"p{number}", "p")
    await names.resolve("local", f"p{MAX_ENTRIES}", "p")
    assert len(personas.asked) == MAX_ENTRIES + 1
    await names.resolve("local", "p0", "p")
    assert len(personas.asked) == MAX_ENTRIES + 2


async def test_a_persona_that_was_renamed_is_asked_for_anew_and_others_are_not() -> None:
    names, personas = make()
    for tenant, name in (("local", "Aria"), ("local", "Kira"), ("other", "Aria")):
        await names.resolve(tenant, name, "p")
    names.forget("local", "id-aria")
    for tenant, name in (("local", "Aria"), ("local", "Kira"), ("other", "Aria")):
        await names.resolve(tenant, name, "p")
    assert personas.asked == ["Aria", "Kira", "Aria", "Aria"]


async def test_after_a_lost_subscription_every_name_is_asked_for_anew() -> None:
    names, personas = make()
    await names.resolve("local", "Aria", "p")
    names.doubt_all()
    await names.resolve("local", "Aria", "p")
    assert personas.asked == ["Aria", "Aria"]


async def test_while_the_persona_service_is_away_its_last_word_counts_and_is_asked_for_once_in_a_life() -> None:
    clock = SteppedClock()
    names, personas = make(clock)
    await names.resolve("local", "Aria", "p")
    personas.away = True
    for seconds in (LIFETIME_SECONDS, 0.0, LIFETIME_SECONDS):
        clock.seconds += seconds
        assert await names.resolve("local", "ARIA", "p") == ("id-aria", "Aria")
    assert personas.asked == ["Aria", "ARIA", "ARIA"]


async def test_a_silent_persona_service_holds_up_no_message_whose_persona_is_known() -> None:
    personas: Any = Personas()
    names = PersonaNames(personas, SteppedClock(), patience=0.0)
    await names.resolve("local", "Aria", "p")
    personas.silent = True
    names.doubt_all()
    assert await names.resolve("local", "Aria", "p") == ("id-aria", "Aria")


async def test_a_lost_subscription_forgets_no_name_that_nobody_could_tell_anew() -> None:
    names, personas = make()
    await names.resolve("local", "Aria", "p")
    personas.away = True
    names.doubt_all()
    assert await names.resolve("local", "Aria", "p") == ("id-aria", "Aria")


async def test_a_gateway_that_never_heard_of_a_persona_reads_it_from_the_workers_copies() -> None:
    names, personas = make()
    personas.away = True
    names = PersonaNames(personas, SteppedClock(), Copies({"aria": PersonaName("id-aria", "Aria")}))  # type: ignore[arg-type]
    assert await names.resolve("local", "Aria", "p") == ("id-aria", "Aria")
    with pytest.raises(Unavailable):
        await names.resolve("local", "Kira", "p")


async def test_with_copies_and_service_away_the_message_is_refused_for_now() -> None:
    _, personas = make()
    personas.away = True
    names = PersonaNames(personas, SteppedClock(), Copies(None))  # type: ignore[arg-type]
    with pytest.raises(Unavailable) as refused:
        await names.resolve("local", "Aria", "p")
    assert refused.value.data["retry_after"] == 1.0


class Copies:
    def __init__(self, names: dict[str, PersonaName] | None) -> None:
        self._names = names

    async def find(self, _tenant: str, reference: str) -> PersonaName | None:
        if self._names is None:
            raise Unavailable("away")
        return self._names.get(reference.lower())


async def test_a_persona_that_is_gone_is_not_remembered_for_the_next_outage() -> None:
    clock = SteppedClock()
    names, personas = make(clock)
    await names.resolve("local", "Aria", "p")
    names.forget("local", "id-aria")
    personas.away = True
    with pytest.raises(Unavailable):
        await names.resolve("local", "Aria", "p")
