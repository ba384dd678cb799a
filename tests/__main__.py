"""`python -m tests`: the tests of faults, which mostly wait, beside all others. What they printed comes at the end.

Arguments are pytest's and go to both. Ctrl-C reaches both, since they are of this process's group.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import IO, Any

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
        faults = start(["tests/faults"], told)
        others = start(["tests", "--ignore=tests/faults"], None)
        codes = {wait(others), wait(faults)}
        told.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(told.read())
    failures = codes - {0, NOTHING_RAN}
    return max(failures) if failures else min(codes)


if __name__ == "__main__":
    sys.exit(main())
