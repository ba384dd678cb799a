"""`python -m tests`: all tests in two processes, since those on whole stacks mostly wait. What the one with the unit
tests and the faults printed comes at the end.

Arguments are pytest's and go to both. Ctrl-C reaches both, since they are of this process's group.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import IO, Any

APART = ("tests/unit", "tests/house", "tests/faults")
NOTHING_RAN = 5
"""pytest's exit code when the arguments chose no test of a part."""


def start(paths: list[str], output: IO[Any] | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *paths, *sys.argv[1:]]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT if output else None)


def wait(part: subprocess.Popen[bytes]) -> int:
    """Its exit code; on Ctrl-C it gets the time to clean up, as often as it is pressed."""
    while True:
        try:
            return part.wait()
        except KeyboardInterrupt:
            continue


def main() -> int:
    with tempfile.TemporaryFile() as told:
        apart = start([*APART], told)
        others = start(["tests", *(f"--ignore={path}" for path in APART)], None)
        codes = {wait(others), wait(apart)}
        told.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(told.read())
    failures = codes - {0, NOTHING_RAN}
    return max(failures) if failures else min(codes)


if __name__ == "__main__":
    sys.exit(main())
