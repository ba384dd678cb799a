-- What memory_records.py reads of a memory, for the statements of others.

-- name: record
id, persona_id, player_id, content, memory_type, importance, initial_importance, emotional_valence, visibility,
    related_personas, participants, speaker, source_message_ids || learned_from AS source_message_ids, session_id,
    world_time, occurred_at, created_at, updated_at, accessed_count, last_accessed, pinned, embedding_model,
    vector_dims(embedding) AS embedding_dimension, metadata, merged_from
