"""What is shown has one form, and a reader that goes away is no failure."""

from __future__ import annotations

import subprocess
import sys

from pmcp_local.console import part_line


def test_a_part_s_line_names_it_its_address_and_its_time() -> None:
    assert part_line("postgres", "127.0.0.1:5442", 0.72).split() == [
        "postgres",
        "127.0.0.1:5442",
        "ready",
        "in",
        "0.7",
        "s",
    ]


def test_a_reader_that_goes_away_silences_us() -> None:
    program = (
        "import sys; from pmcp_local.console import complain, say\n"
        "sys.stdin.readline()\n"
        "for _ in range(3): say('unheard')\n"
        "complain('still here')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, complaints = process.communicate("go\n", timeout=5)
    assert (process.returncode, complaints) == (0, "still here\n")
