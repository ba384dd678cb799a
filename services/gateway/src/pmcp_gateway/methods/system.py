"""system.status and system.models: what the parts say of themselves, nothing assumed."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.methods import NoParams, OfPlayer, SystemModelsResult, SystemStatusResult
from pmcp_common.contracts.personas import PersonaView
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.stores import ModelReport

ACTIVE_CONVERSATION_MS = 3_600_000
NO_WORKER = "No worker has reported within the last 30 seconds"


async def models(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    reports = await services.reports.models(call.tenant, _now_ms(services))
    chosen = _best(reports)
    answered = next((report.last_answered_model for report in reports if report.last_answered_model), None)
    return SystemModelsResult(
        available_models=sorted({name for report in reports for name in report.available_models}),
        current_model=chosen.current_model if chosen else None,
        provider=chosen.provider if chosen else None,
        llm_available=chosen is not None and chosen.ok,
        last_answered_model=answered,
        reason=_reason(chosen),
    ).model_dump(mode="json")


def _best(reports: tuple[ModelReport, ...]) -> ModelReport | None:
    """The newest report of a worker whose model answers, else the newest one."""
    return next((report for report in reports if report.ok), reports[0] if reports else None)


def _reason(report: ModelReport | None) -> str | None:
    if report is None:
        return NO_WORKER
    return None if report.ok else report.reason or "The model server gives no reason"


async def status(services: Services, call: Call, params: OfPlayer) -> dict[str, Any]:
    now, player = _now_ms(services), call.player(params.player_id)
    reports = await services.reports.models(call.tenant, now)
    conversations = await services.reports.active_conversations(call.tenant, now - ACTIVE_CONVERSATION_MS)
    session = await services.sessions.get(call.tenant, call.session_id)
    persona_id = session.persona_id if session else None
    personas = await _personas(services, call, player)
    llm_available = any(report.ok for report in reports)
    return SystemStatusResult(
        system_status="operational" if llm_available and personas is not None else "degraded",
        llm_available=llm_available,
        total_personas=None if personas is None else len(personas),
        available_personas=None if personas is None else sum(p.interaction_state.is_available for p in personas),
        active_conversations=conversations,
        current_persona=persona_id,
        current_conversation=persona_id and keys.conversation_id(call.tenant, persona_id, player),
        timestamp=services.stamps.now(),
    ).model_dump(mode="json")


async def _personas(services: Services, call: Call, player: str) -> tuple[PersonaView, ...] | None:
    """None: the persona service is away, which the status then says."""
    try:
        return await services.personas.list(call.tenant, player)
    except DomainError:
        return None


def _now_ms(services: Services) -> int:
    return int(services.clock.now().timestamp() * 1000)
