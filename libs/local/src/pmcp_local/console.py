"""What the person at the terminal sees: lines on standard output, failures on standard error.

A reader that goes away (`pmcp up | head`) silences us; it is no failure and must not keep us from stopping
our children.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(line: str = "") -> None:
    write(line + "\n")


def write(text: str) -> None:
    """Without a line end: for streamed text."""
    _emit(sys.stdout, text)


def complain(sentence: str) -> None:
    _emit(sys.stderr, sentence + "\n")


def _emit(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Later writes, and the interpreter's own flush at exit, go nowhere instead of failing again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except UnicodeEncodeError:
        stream.write(text.encode("ascii", "replace").decode("ascii"))
        stream.flush()


def part_line(name: str, address: str, seconds: float) -> str:
    return f"  {name:<10} {address:<28} ready in {seconds:.1f} s"
