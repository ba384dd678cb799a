"""What is logged while Redis is away: one line at the start, a few in between, one at the end."""

from __future__ import annotations

import logging

import pytest

from pmcp_common.bus_redis import OUTAGE_LOG_SECONDS, _Outage


def test_a_long_outage_is_a_few_lines_and_its_end_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = _Outage("channel")
    for tenth in range(int(OUTAGE_LOG_SECONDS * 20)):
        outage.note(ConnectionError("secret address"), tenth / 10)
    outage.over()
    outage.over()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [("WARNING", "subscription lost")] * 2 + [("INFO", "subscription stands again")]
    assert "secret" not in caplog.text
