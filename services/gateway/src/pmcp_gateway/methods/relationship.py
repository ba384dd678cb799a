"""relationship.* and persona.relationship: which shape is meant, and the persona service's word in that shape."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.errors import InvalidParams
from pmcp_common.contracts.method_models import NoParams
from pmcp_common.contracts.relationship_models import (
    CompatibilityParts,
    InteractionProcessed,
    MostActivePersona,
    NamedPersona,
    PersonaRelationshipParams,
    PersonaRelationshipResult,
    RelationshipCompatibilityParams,
    RelationshipCompatibilityResult,
    RelationshipFiguresItem,
    RelationshipGetParams,
    RelationshipGetResult,
    RelationshipListParams,
    RelationshipListResult,
    RelationshipStatistics,
    RelationshipStatsResult,
    RelationshipUpdateParams,
    RelationshipUpdateResult,
    SuggestionParts,
)
from pmcp_common.contracts.relationships import Meeting, RelationshipBetween, RelationshipFigures, RelationshipSetting
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.methods.relationship_views import item, pair, player_pair, target, updated
from pmcp_gateway.timestamps import timestamp

BOTH_REQUIRED = "Both persona1_id and persona2_id are required"


async def get(services: Services, call: Call, params: RelationshipGetParams) -> dict[str, Any]:
    if params.persona1_id is None and params.persona2_id is None and params.persona_id is not None:
        return await _get_all(services, call, params.persona_id, call.player(params.player_id))
    one, other = _two(params.persona1_id, params.persona2_id)
    found = await services.personas.relationship(call.tenant, one, other)
    if found.relationship is None:
        message = f"{found.persona1.name} and {found.persona2.name} have not met"
        result = RelationshipGetResult(relationship=None, exists=False, message=message)
    else:
        result = RelationshipGetResult(relationship=pair(found.relationship), exists=True)
    return result.model_dump(mode="json", exclude_unset=True)


async def _get_all(services: Services, call: Call, reference: str, player: str) -> dict[str, Any]:
    found = await services.personas.relationships(call.tenant, reference, player)
    return RelationshipGetResult(
        persona_id=found.persona.id,
        relationships=[target(one) for one in found.relationships],
        player_relationship=found.with_player and player_pair(found.with_player),
    ).model_dump(mode="json", exclude_unset=True)


async def list_all(services: Services, call: Call, params: RelationshipListParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    found = await services.personas.relationships(call.tenant, params.persona_id or call.persona_id or "", player)
    return RelationshipListResult(
        persona_id=found.persona.id,
        relationships=[item(one) for one in found.relationships],
        total_relationships=len(found.relationships),
        player_relationship=found.with_player and player_pair(found.with_player),
    ).model_dump(mode="json")


async def compatibility(services: Services, call: Call, params: RelationshipCompatibilityParams) -> dict[str, Any]:
    one, other = _two(params.persona1_id, params.persona2_id)
    found = await services.personas.compatibility(call.tenant, one, other)
    return RelationshipCompatibilityResult(
        persona1=NamedPersona(id=found.persona1.id, name=found.persona1.name),
        persona2=NamedPersona(id=found.persona2.id, name=found.persona2.name),
        compatibility_analysis=CompatibilityParts.model_validate(found.analysis.model_dump()),
        interaction_suggestions=SuggestionParts.model_validate(found.suggestions.model_dump(mode="json")),
        existing_relationship=found.existing_relationship,
    ).model_dump(mode="json")


async def stats(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    found = await services.personas.relationship_stats(call.tenant)
    return RelationshipStatsResult(
        relationship_statistics=RelationshipStatistics(
            **_figures(found.personas).model_dump(),
            most_active_personas=[
                MostActivePersona(persona_id=one.persona_id, interactions=one.interactions)
                for one in found.most_active_personas
            ],
            with_players=_figures(found.players),
        ),
        timestamp=timestamp(services.clock.now()),
    ).model_dump(mode="json")


def _figures(figures: RelationshipFigures) -> RelationshipFiguresItem:
    return RelationshipFiguresItem.model_validate(figures.model_dump())


async def update(services: Services, call: Call, params: RelationshipUpdateParams) -> dict[str, Any]:
    if params.persona1_id is None and params.persona2_id is None and _names_target(params):
        return await _arrange(services, call, params)
    one, other = _two(params.persona1_id, params.persona2_id)
    if params.relationship_type is not None or params.strength is not None:
        return await _set(services, call, one, other, params)
    meeting = Meeting(
        cause_id=services.new_id(),
        quality=params.interaction_quality,
        duration_minutes=params.duration_minutes,
        context=params.context,
    )
    found = await services.personas.meet(call.tenant, one, other, meeting)
    processed = InteractionProcessed(
        quality=meeting.quality, duration_minutes=meeting.duration_minutes, context=meeting.context
    )
    return _updated(found, interaction_processed=processed)


def _names_target(params: RelationshipUpdateParams) -> bool:
    return params.persona_id is not None or params.target_persona_id is not None


async def _arrange(services: Services, call: Call, params: RelationshipUpdateParams) -> dict[str, Any]:
    for name in ("persona_id", "target_persona_id"):
        if getattr(params, name) is None:
            raise InvalidParams(f"{name} is required", field=name)
    if params.relationship_type is None and params.strength is None:
        raise InvalidParams("relationship_type or strength is required", field="relationship_type")
    return await _set(services, call, params.persona_id or "", params.target_persona_id or "", params)


async def _set(
    services: Services, call: Call, one: str, other: str, params: RelationshipUpdateParams
) -> dict[str, Any]:
    """What the two feel is either told or follows from a meeting."""
    for name in ("interaction_quality", "duration_minutes", "context"):
        if name in params.model_fields_set:
            raise InvalidParams(f"{name} does not go with relationship_type or strength", field=name)
    setting = RelationshipSetting(
        cause_id=services.new_id(), relationship_type=params.relationship_type, strength=params.strength
    )
    return _updated(await services.personas.set_relationship(call.tenant, one, other, setting))


def _updated(found: RelationshipBetween, **more: Any) -> dict[str, Any]:
    assert found.relationship is not None
    return RelationshipUpdateResult(
        success=True,
        message=f"Relationship of {found.persona1.name} and {found.persona2.name} updated",
        updated_relationship=updated(found.relationship),
        **more,
    ).model_dump(mode="json", exclude_unset=True)


async def of_active(services: Services, call: Call, params: PersonaRelationshipParams) -> dict[str, Any]:
    current = call.persona_id or ""
    if params.target_persona is not None:
        found = await services.personas.relationship(call.tenant, current, params.target_persona)
        result = PersonaRelationshipResult(
            current_persona=found.persona1.id,
            target_persona=found.persona2.id,
            relationship=found.relationship and pair(found.relationship),
        )
    else:
        all_of_it = await services.personas.relationships(call.tenant, current, call.player(params.player_id))
        result = PersonaRelationshipResult(
            current_persona=all_of_it.persona.id, relationships=[pair(one) for one in all_of_it.relationships]
        )
    return result.model_dump(mode="json", exclude_unset=True)


def _two(one: str | None, other: str | None) -> tuple[str, str]:
    if one is None or other is None:
        raise InvalidParams(BOTH_REQUIRED)
    return one, other
