"""What the worker counts. Names and buckets only; labels never name a user, persona or session."""

from __future__ import annotations

import logging

from prometheus_client import Counter, Gauge, Histogram

from pmcp_common.contracts.jobs import End
from pmcp_llm_worker.breaker import BreakerState

log = logging.getLogger(__name__)

WAIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TTFT_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)

PICKUP_SECONDS = Histogram(
    "pmcp_job_pickup_seconds", "From a message's acceptance to its claim by a worker.", buckets=WAIT_BUCKETS
)
TTFT_SECONDS = Histogram(
    "pmcp_ttft_seconds", "From a message's acceptance to the first text in its stream.", buckets=TTFT_BUCKETS
)
MODEL_TTFT_SECONDS = Histogram(
    "pmcp_model_ttft_seconds", "From the model request to the first text of the model.", buckets=TTFT_BUCKETS
)
REPLIES = Counter("pmcp_replies_total", "Ended replies.", ["outcome"])
OUTPUT_TOKENS = Counter("pmcp_output_tokens_total", "Tokens of ended replies, as the model counted them.")
VOLATILE = Counter("pmcp_replies_not_persisted_total", "Replies whose rows were not stored when they ended.")
REMEMBER = Counter("pmcp_remember_total", "Off-path jobs that make memories of a turn.", ["outcome"])
SET_ASIDE = Counter("pmcp_turns_set_aside_total", "Spooled turns the memory service did not take: kept in Redis.")
RUNNING = Gauge("pmcp_replies_running", "Replies this worker is writing.")
MODEL_OK = Gauge("pmcp_model_ok", "1 when the configured model was there at the last look, else 0.")

BREAKER = Gauge("pmcp_model_breaker_state", "Circuit breaker of the model: 0 closed, 1 half open, 2 open.")
BREAKER_OPENED = Counter("pmcp_model_breaker_opened_total", "How often the model was given up for a while.")
SUMMARIES = Counter("pmcp_summaries_total", "Steps of summaries, by outcome.", ["outcome"])
LEARNING = Counter(
    "pmcp_learning_total",
    "Off-path jobs that let the model learn from turns: done, nothing, put_off, over_budget, retried, failed.",
    ["outcome"],
)
REQUEUED = Counter("pmcp_jobs_requeued_total", "Accepted jobs queued again after Redis lost its data.")
CONTINUED = Counter("pmcp_replies_continued_total", "Replies gone on with after a worker or model broke off.")
LEVELS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


def note_breaker(state: BreakerState) -> None:
    BREAKER.set(LEVELS[state])
    if state is BreakerState.OPEN:
        BREAKER_OPENED.inc()
    log.warning("circuit breaker of the model", extra={"state": state.value})


def count_claim(queued_ms: float) -> None:
    PICKUP_SECONDS.observe(queued_ms / 1000)


def count_end(end: End) -> None:
    REPLIES.labels(end.finish_reason if end.finish_reason == "fallback" else end.state).inc()
    OUTPUT_TOKENS.inc(end.tokens_used)
    if not end.persisted and end.response_type == "direct":
        VOLATILE.inc()
    if "first_token_ms" in end.timings:
        TTFT_SECONDS.observe(end.timings["first_token_ms"] / 1000)
    if "model_first_token_ms" in end.timings:
        MODEL_TTFT_SECONDS.observe(end.timings["model_first_token_ms"] / 1000)
