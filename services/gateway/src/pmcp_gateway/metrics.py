"""What operators can watch of a gateway. Labels are methods and outcomes, never a player, persona or session."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("pmcp_gateway_connections", "Open sockets.")
STREAMS = Gauge("pmcp_gateway_streams", "Replies being relayed.")
REQUESTS = Counter("pmcp_gateway_requests_total", "Finished requests.", ["method", "outcome"])
REQUEST_SECONDS = Histogram(
    "pmcp_gateway_request_seconds",
    "From the frame's arrival to its last reply.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
FRAMES = Counter("pmcp_gateway_frames_total", "Frames by direction.", ["direction"])
FRAMES_IN, FRAMES_OUT = FRAMES.labels("in"), FRAMES.labels("out")
REFUSED = Counter("pmcp_gateway_refused_total", "Frames that were no request, and sockets refused.", ["reason"])
CLOSED = Counter("pmcp_gateway_closed_total", "Sockets this side closed, by code.", ["code"])
RELAY_LAG = Histogram(
    "pmcp_gateway_relay_lag_seconds",
    "How long the oldest frame of a write waited in its outbox.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10),
)
CATCH_UPS = Counter("pmcp_gateway_catch_ups_total", "Streams read after a silence, a gap or a new subscription.")
SESSIONS_ENDED = Counter("pmcp_gateway_sessions_ended_total", "Sessions that expired, as this gateway found.")
