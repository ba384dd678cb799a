"""Stream frames as clients receive them: replies that repeat the request's id, with `event_type` in `result`.

The fields existing clients read stay where they were (payload in `result.data`, five of them copied to the top);
ours are added: `epoch`, `seq`, `attempt`, and in the end frame what became of the reply. Pure.
"""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.jobs import Accepted, Delta, End

START, CHUNK, COMPLETE, CANCELLED, ERROR = (
    "stream_start",
    "stream_chunk",
    "stream_complete",
    "stream_cancelled",
    "stream_error",
)
DURABLE, VOLATILE = "durable", "volatile"
END_TYPES = {"done": COMPLETE, "cancelled": CANCELLED, "failed": ERROR}


def start_result(
    accepted: Accepted, message: str, token_budget: int, timestamp: str, durability: str
) -> dict[str, Any]:
    """`durability`: DURABLE when the message also survives the loss of all the broker holds, else VOLATILE."""
    return {
        "event_type": START,
        "stream_id": accepted.stream_id,
        "timestamp": timestamp,
        "epoch": accepted.epoch,
        "seq": 0,
        "attempt": 1,
        "message_id": accepted.message_id,
        "durability": durability,
        "persona_id": accepted.persona_id,
        "data": {
            "persona_id": accepted.persona_id,
            "persona_name": accepted.persona_name,
            "message": message,
            "token_budget": token_budget,
        },
    }


def restart_result(start: dict[str, Any], epoch: str, timestamp: str) -> dict[str, Any]:
    """The broker lost its data: the reply begins anew under another epoch, and what was shown of it is void. It comes
    from the record of accepted jobs, and is still there.

    `start`: the stream's start frame, or as much of it as is known."""
    return {
        **start,
        "event_type": START,
        "timestamp": timestamp,
        "epoch": epoch,
        "seq": 0,
        "attempt": 1,
        "durability": DURABLE,
        "recovered": False,
        "reason": "epoch_changed",
    }


def chunk_result(delta: Delta, epoch: str, timestamp: str, number: int, total_length: int) -> dict[str, Any]:
    """`number`: this client's chunk count, from 1. `total_length`: characters so far, this chunk included."""
    return {
        "event_type": CHUNK,
        "stream_id": delta.stream_id,
        "timestamp": timestamp,
        "epoch": epoch,
        "seq": delta.seq,
        "attempt": delta.attempt,
        "chunk": delta.text,
        "data": {"chunk": delta.text, "chunk_number": number, "total_length": total_length},
    }


def end_result(end: End, epoch: str, timestamp: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "event_type": END_TYPES[end.state],
        "stream_id": end.stream_id,
        "timestamp": timestamp,
        "epoch": epoch,
        "seq": end.seq,
        "attempt": end.attempt,
        "state": end.state,
        "finish_reason": end.finish_reason,
        "chars": len(end.text),
        "sha256": end.sha256,
        "message_id": end.message_id,
        "response_type": end.response_type,
        "rung": end.rung,
        "degraded": end.degraded,
        "reason": end.reason or None,
        "persisted": end.persisted,
        "memory": end.memory,
        "model": end.model,
        "provider": end.provider,
        "tokens_used": end.tokens_used,
        "processing_time": end.processing_time,
        "continue_score": end.continue_score,
        "score_parts": end.score_parts,
        "routing": end.routing,
        "persona_state": end.persona_state,
        "persona_id": end.persona_id,
    }
    if end.state == "done":
        result["full_response"] = end.text
        result["data"] = {
            "full_response": end.text,
            "chunk_count": end.chunk_count,
            "processing_time": end.processing_time,
            "response_length": len(end.text),
            "tokens_used": end.tokens_used,
            "persona_name": end.persona_name,
            "timings": end.timings,
        }
    elif end.state == "cancelled":
        result["data"] = {"reason": "Client cancelled"}
    else:
        # The original has no data key here; what was shown stays readable.
        result["partial_response"] = end.text
    return result


def lost_result(accepted: Accepted, epoch: str, timestamp: str, seq: int, finish_reason: str) -> dict[str, Any]:
    """The end of a stream that the gateway itself had to end: its data is gone, or nobody can be asked about it."""
    return {
        "event_type": ERROR,
        "stream_id": accepted.stream_id,
        "timestamp": timestamp,
        "epoch": epoch,
        "seq": seq,
        "attempt": 1,
        "state": "failed",
        "finish_reason": finish_reason,
        "message_id": accepted.message_id,
        "degraded": True,
        "persisted": False,
    }
