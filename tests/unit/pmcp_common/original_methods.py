"""Every method existing clients know, with the parameters they send and the fields they read: data, no code of ours."""

from __future__ import annotations

METHODS: dict[str, tuple[str, str]] = {
    "persona.list": (
        "",
        "personas total_count available_count",
    ),
    "persona.switch": (
        "persona_id",
        "persona_id name description status social_energy available_time current_priority message session_id",
    ),
    "persona.chat": (
        "message token_budget",
        "response response_type continue_score tokens_used processing_time persona_state",
    ),
    "persona.create": (
        "name description personality_traits topic_preferences charisma intelligence social_rank backstory goals"
        " full_name background speaking_style interests",
        "persona_id name created message",
    ),
    "persona.delete": ("persona_id", "persona_id name deleted message"),
    "persona.status": ("persona_id", "persona interaction_state memory_stats"),
    "persona.memory": ("query limit", "memories query total_found"),
    "persona.relationship": ("target_persona", "current_persona target_persona relationship relationships"),
    "persona.get": ("persona_id", "persona"),
    "persona.chat_stream": ("message token_budget", ""),
    "conversation.start": (
        "persona1_id persona2_id topic token_budget",
        "conversation_id participants topic started",
    ),
    "conversation.end": ("conversation_id reason", "conversation_id ended reason final_stats"),
    "conversation.status": (
        "conversation_id",
        "id participants topic turn_count duration continue_score tokens_remaining should_continue",
    ),
    "conversation.send_message": (
        "content player_id room_id context persona_id",
        "response persona_id response_time_ms memory_stored",
    ),
    "conversation.get_history": ("limit before_id", "messages has_more"),
    "memory.search": ("persona_id query n_results memory_type min_importance", "memories query result_count"),
    "memory.store": (
        "persona_id content memory_type importance emotional_valence related_personas visibility metadata",
        "memory_id stored",
    ),
    "memory.stats": (
        "persona_id",
        "total_memories avg_importance memory_types high_importance_count created_today stats_calculation_time_ms",
    ),
    "memory.get_stats": (
        "persona_id",
        "total_memories memory_types average_importance oldest_memory newest_memory",
    ),
    "memory.prune": (
        "persona_id force",
        "status persona_id current_memory_count message memories_before memories_after memories_pruned"
        " processing_time average_importance_pruned average_importance_kept",
    ),
    "memory.prune_all": (
        "",
        "status personas_processed total_memories_before total_memories_after total_memories_pruned processing_time"
        " errors_encountered",
    ),
    "memory.prune_recommendations": ("persona_id", "persona_id recommendations"),
    "memory.prune_stats": ("", "pruning_statistics"),
    "memory.decay_start": ("", "status interval_hours mode auto_pruning"),
    "memory.decay_stop": ("", "status"),
    "memory.decay_stats": ("", "decay_statistics"),
    "memory.decay_force": (
        "persona_id decay_factor",
        "status persona_id decay_factor memories_processed memories_decayed personas_processed auto_prunes_triggered"
        " processing_time",
    ),
    "memory.search_cross_persona": (
        "persona_id query n_results min_importance include_shared include_public",
        "requesting_persona query memories total_results search_params",
    ),
    "memory.shared_stats": ("", "shared_memory_statistics timestamp"),
    "relationship.get": ("persona1_id persona2_id persona_id", "relationship exists message relationships"),
    "relationship.list": ("persona_id", "persona_id relationships total_relationships"),
    "relationship.compatibility": (
        "persona1_id persona2_id",
        "persona1 persona2 compatibility_analysis interaction_suggestions existing_relationship",
    ),
    "relationship.stats": ("", "relationship_statistics timestamp"),
    "relationship.update": (
        "persona1_id persona2_id interaction_quality duration_minutes context persona_id target_persona_id"
        " relationship_type strength",
        "success message interaction_processed updated_relationship",
    ),
    "emotional.get_state": ("persona_id", "persona_id emotional_state"),
    "emotional.update_state": (
        "persona_id mood energy_level stress_level curiosity social_battery",
        "success message updated_state",
    ),
    "state.save": ("", "state_saved state"),
    "state.load": ("", "state_loaded current_persona_id current_conversation_id"),
    "visual.update": ("type data", "visual_updated update_type timestamp"),
    "system.status": (
        "",
        "system_status llm_available total_personas available_personas active_conversations current_persona"
        " current_conversation timestamp",
    ),
    "system.models": ("", "available_models current_model provider"),
    "session.get_info": ("", "session_id active_persona_id active_persona_name connection_time message_count"),
    "session.clear": ("", "message"),
}
"""Method → parameters and result fields, by name. `sender` is the alias of `player_id`."""

NESTED: dict[str, str] = {
    "persona.list/personas": "id name description available social_energy current_priority cooldown_remaining"
    " personality_traits created_at",
    "persona.status/persona": "id name description personality_traits topic_preferences charisma intelligence"
    " social_rank",
    "persona.status/interaction_state": "interest_level interaction_fatigue current_priority available_time"
    " social_energy cooldown_until is_available",
    "persona.get/persona": "id name description personality_traits memory_stats",
    "state.save/state": "current_persona_id current_conversation_id active_conversations timestamp",
    "conversation.end/final_stats": "duration turns tokens_used",
    "conversation.get_history/messages": "id content sender timestamp persona_response",
    "relationship.compatibility/compatibility_analysis": "overall personality social interests history prediction",
    "relationship.compatibility/interaction_suggestions": "interaction_style recommended_topics potential_challenges"
    " relationship_potential interaction_frequency",
    "relationship.stats/relationship_statistics": "total_relationships relationship_types average_compatibility"
    " total_interactions most_active_personas",
    "relationship.list/relationships": "other_persona_id affinity trust respect intimacy relationship_type"
    " interaction_count compatibility_score relationship_strength last_interaction",
    "relationship.get/relationship": "persona1_id persona2_id affinity trust respect intimacy relationship_type"
    " interaction_count total_interaction_time compatibility_score relationship_strength last_interaction"
    " first_meeting",
    "relationship.get/relationships": "target_persona_id target_persona_name relationship_type strength"
    " last_interaction",
    "memory.search/memories": "id content memory_type importance emotional_valence related_personas visibility"
    " created_at accessed_count",
    "memory.prune_recommendations/recommendations": "needs_pruning current_count target_count recommendation"
    " would_prune average_importance_to_prune importance_range_to_prune",
    "memory.prune_stats/pruning_statistics": "total_pruning_operations total_memories_pruned total_personas_processed"
    " average_processing_time last_global_prune personas_last_pruned message",
    "memory.decay_stats/decay_statistics": "background_running last_run total_decay_cycles total_memories_decayed"
    " total_auto_prunes_triggered recent_cycle config message",
    "memory.search_cross_persona/memories": "memory_id content similarity importance memory_type created_at visibility"
    " source source_persona",
    "memory.search_cross_persona/search_params": "min_importance include_shared include_public",
    "memory.shared_stats/shared_memory_statistics": "total_personas shared_memories public_memories cross_references"
    " by_persona",
    "emotional.get_state/emotional_state": "mood energy_level stress_level curiosity social_battery last_updated",
}
"""Fields inside fields."""
