"""Ports: taken ones are seen, free ones are found, ranges avoid reserved ones."""

from __future__ import annotations

import socket

import pytest

from pmcp_local.ports import count_up, find_free, find_ranges, is_free

AMONG = range(12_000, 32_000)


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not is_free("127.0.0.1", listener.getsockname()[1])


def test_found_ports_are_free_and_different() -> None:
    ports = find_free(5)
    assert len(set(ports)) == 5
    assert all(is_free("127.0.0.1", port) for port in ports)


def test_a_port_whose_connection_was_just_closed_is_free() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT
    assert is_free("127.0.0.1", port)


def test_counting_up_steps_over_reserved_ports() -> None:
    assert count_up(8000, 3, {8000, 8001, 8002, 8003}) == [8000, 8004, 8005]
    assert count_up(8000, 1, {8000}) == [8000]


def test_ranges_are_free_and_do_not_touch() -> None:
    starts = find_ranges(5, 4, AMONG)
    ports = [start + more for start in starts for more in range(4)]
    assert len(set(ports)) == 20
    assert all(port in AMONG and is_free("127.0.0.1", port) for port in ports)


def test_a_range_with_one_port_that_is_taken_is_not_offered() -> None:
    first = find_ranges(1, 8, AMONG)[0]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first + 2))
        listener.listen()
        assert find_ranges(1, 4, range(first, first + 8)) == [first + 4]
        with pytest.raises(OSError, match="fewer than 2"):
            find_ranges(2, 4, range(first, first + 8))
