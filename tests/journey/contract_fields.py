"""Every field existing clients read, with its type, method by method: data, no code of ours.

A method with two shapes has two entries; what stands for what is said in `contract_shapes`.
"""

from __future__ import annotations

from typing import Any

from tests.journey.contract_shapes import (
    DECAY,
    EMOTION,
    FEELINGS,
    MEMORY_STATS,
    PERSONA_BRIEF,
    PRUNED_ALL,
    RELATIONSHIP,
    SAID,
    Kinds,
    Maybe,
    Object,
    Time,
)

FIELDS: dict[str, list[dict[str, Any]]] = {
    "persona.list": [{"personas": [PERSONA_BRIEF], "total_count": int, "available_count": int}],
    "persona.switch": [
        {
            "persona_id": str,
            "name": str,
            "description": str,
            "status": str,
            "social_energy": int,
            "available_time": int,
            "current_priority": str,
            "message": str,
            "session_id": str,
        }
    ],
    "persona.chat": [SAID],
    "persona.chat_stream": [{"full_response": str, "tokens_used": int, "processing_time": float}],
    "persona.create": [{"persona_id": str, "name": str, "created": bool, "message": str}],
    "persona.delete": [{"persona_id": str, "name": str, "deleted": bool, "message": str}],
    "persona.status": [
        {
            "persona": {
                "id": str,
                "name": str,
                "description": str,
                "personality_traits": Object,
                "topic_preferences": Kinds(int),
                "charisma": int,
                "intelligence": int,
                "social_rank": str,
            },
            "interaction_state": {
                "interest_level": int,
                "interaction_fatigue": int,
                "current_priority": str,
                "available_time": int,
                "social_energy": int,
                "cooldown_until": float,
                "is_available": bool,
            },
            "memory_stats": {"total_memories": int},
        }
    ],
    "persona.get": [
        {
            "persona": {
                "id": str,
                "name": str,
                "description": str,
                "personality_traits": Object,
                "memory_stats": {"total_memories": int, "recent_interactions": int},
            }
        }
    ],
    "persona.memory": [
        {
            "memories": [{"content": str, "importance": float, "memory_type": str, "created_at": Time}],
            "query": str,
            "total_found": int,
        }
    ],
    "persona.relationship": [
        {"current_persona": str, "target_persona": str, "relationship": Maybe(RELATIONSHIP)},
        {"current_persona": str, "relationships": [RELATIONSHIP]},
    ],
    "conversation.start": [{"conversation_id": str, "participants": [str], "topic": str, "started": bool}],
    "conversation.end": [
        {
            "conversation_id": str,
            "ended": bool,
            "reason": str,
            "final_stats": {"duration": float, "turns": int, "tokens_used": int},
        }
    ],
    "conversation.status": [
        {
            "id": str,
            "participants": [str],
            "topic": Maybe(str),
            "turn_count": int,
            "duration": float,
            "continue_score": Maybe(float),
            "tokens_remaining": Maybe(int),
            "should_continue": bool,
        }
    ],
    "conversation.send_message": [
        {"response": str, "persona_id": str, "response_time_ms": float, "memory_stored": bool}
    ],
    "conversation.get_history": [
        {
            "messages": [{"id": str, "content": str, "sender": str, "timestamp": Time, "persona_response": Maybe(str)}],
            "has_more": bool,
        }
    ],
    "memory.search": [
        {
            "memories": [
                {
                    "id": str,
                    "content": str,
                    "memory_type": str,
                    "importance": float,
                    "emotional_valence": float,
                    "related_personas": [str],
                    "visibility": str,
                    "created_at": Time,
                    "accessed_count": int,
                }
            ],
            "query": str,
            "result_count": int,
        }
    ],
    "memory.store": [{"memory_id": str, "stored": bool}],
    "memory.stats": [MEMORY_STATS, {"total_memories": int}],
    "memory.get_stats": [
        {
            "total_memories": int,
            "memory_types": Kinds(int),
            "average_importance": float,
            "oldest_memory": Time,
            "newest_memory": Time,
        }
    ],
    "memory.prune": [
        {"status": "no_pruning_needed", "persona_id": str, "current_memory_count": int, "message": str},
        {
            "status": "pruning_completed",
            "persona_id": str,
            "memories_before": int,
            "memories_after": int,
            "memories_pruned": int,
            "processing_time": float,
            "average_importance_pruned": float,
            "average_importance_kept": float,
        },
    ],
    "memory.prune_all": [PRUNED_ALL, PRUNED_ALL | {"status": "global_pruning_previewed"}],
    "memory.prune_recommendations": [
        {
            "persona_id": str,
            "recommendations": {
                "needs_pruning": bool,
                "current_count": int,
                "target_count": int,
                "recommendation": str,
            },
        }
    ],
    "memory.prune_stats": [
        {
            "pruning_statistics": {
                "total_pruning_operations": int,
                "total_memories_pruned": int,
                "total_personas_processed": int,
                "average_processing_time": float,
                "last_global_prune": Maybe(Time),
                "personas_last_pruned": Kinds(str),
            }
        },
        {"pruning_statistics": {"message": str}},
        {"message": str},
    ],
    "memory.decay_start": [
        {"status": "background_decay_started", "interval_hours": float, "mode": str, "auto_pruning": bool}
    ],
    "memory.decay_stop": [{"status": "background_decay_stopped"}],
    "memory.decay_stats": [
        {
            "decay_statistics": {
                "background_running": bool,
                "last_run": Maybe(Time),
                "total_decay_cycles": int,
                "total_memories_decayed": int,
                "total_auto_prunes_triggered": int,
                "recent_cycle": Maybe(
                    {
                        "personas_processed": int,
                        "memories_decayed": int,
                        "average_decay": float,
                        "processing_time": float,
                    }
                ),
                "config": DECAY,
            }
        },
        {"message": str, "background_running": bool, "config": DECAY},
        {"decay_statistics": {"message": str, "background_running": bool, "config": DECAY}},
    ],
    "memory.decay_force": [
        {
            "status": "persona_decay_completed",
            "persona_id": str,
            "decay_factor": float,
            "memories_processed": int,
            "memories_decayed": int,
        },
        {
            "status": "global_decay_cycle_completed",
            "personas_processed": int,
            "memories_decayed": int,
            "auto_prunes_triggered": int,
            "processing_time": float,
        },
    ],
    "memory.search_cross_persona": [
        {
            "requesting_persona": str,
            "query": str,
            "memories": [
                {
                    "memory_id": str,
                    "content": str,
                    "similarity": float,
                    "importance": float,
                    "memory_type": str,
                    "created_at": Time,
                    "visibility": str,
                    "source": str,
                    "source_persona": str,
                }
            ],
            "total_results": int,
            "search_params": {"min_importance": float, "include_shared": bool, "include_public": bool},
        }
    ],
    "memory.shared_stats": [
        {
            "shared_memory_statistics": {
                "total_personas": int,
                "shared_memories": int,
                "public_memories": int,
                "cross_references": int,
                "by_persona": Kinds({"shared": int, "public": int, "cross_references": int}),
            },
            "timestamp": Time,
        }
    ],
    "relationship.get": [
        {"relationship": RELATIONSHIP, "exists": bool},
        {"relationship": None, "exists": bool, "message": str},
        {
            "relationships": [
                {
                    "target_persona_id": str,
                    "target_persona_name": str,
                    "relationship_type": str,
                    "strength": float,
                    "last_interaction": Time,
                }
            ]
        },
    ],
    "relationship.list": [
        {"persona_id": str, "relationships": [FEELINGS | {"other_persona_id": str}], "total_relationships": int}
    ],
    "relationship.compatibility": [
        {
            "persona1": {"id": str, "name": str},
            "persona2": {"id": str, "name": str},
            "compatibility_analysis": {
                "overall": float,
                "personality": float,
                "social": float,
                "interests": float,
                "history": float,
                "prediction": str,
            },
            "interaction_suggestions": {
                "interaction_style": str,
                "recommended_topics": [str],
                "potential_challenges": [str],
                "relationship_potential": str,
                "interaction_frequency": str,
            },
            "existing_relationship": bool,
        }
    ],
    "relationship.stats": [
        {
            "relationship_statistics": {
                "total_relationships": int,
                "relationship_types": Kinds(int),
                "average_compatibility": float,
                "total_interactions": int,
                "most_active_personas": [{"persona_id": str, "interactions": int}],
            },
            "timestamp": Time,
        }
    ],
    "relationship.update": [
        {
            "success": bool,
            "message": str,
            "interaction_processed": {"quality": float, "duration_minutes": float, "context": str},
            "updated_relationship": {
                "affinity": float,
                "trust": float,
                "respect": float,
                "relationship_type": str,
                "compatibility_score": float,
            },
        },
        {"message": str},
    ],
    "emotional.get_state": [{"persona_id": str, "emotional_state": EMOTION}],
    "emotional.update_state": [{"success": bool, "message": str, "updated_state": EMOTION}],
    "state.save": [
        {
            "state_saved": bool,
            "state": {
                "current_persona_id": Maybe(str),
                "current_conversation_id": Maybe(str),
                "active_conversations": int,
                "timestamp": Time,
            },
        }
    ],
    "state.load": [{"state_loaded": bool, "current_persona_id": Maybe(str), "current_conversation_id": Maybe(str)}],
    "visual.update": [{"visual_updated": bool, "update_type": str, "timestamp": Time}],
    "system.status": [
        {
            "system_status": "operational",
            "llm_available": bool,
            "total_personas": int,
            "available_personas": int,
            "active_conversations": int,
            "current_persona": Maybe(str),
            "current_conversation": Maybe(str),
            "timestamp": Time,
        }
    ],
    "system.models": [{"available_models": [str], "current_model": str, "provider": "ollama"}],
    "session.get_info": [
        {
            "session_id": str,
            "active_persona_id": Maybe(str),
            "active_persona_name": Maybe(str),
            "connection_time": Time,
            "message_count": int,
        }
    ],
    "session.clear": [{"message": str}],
}
