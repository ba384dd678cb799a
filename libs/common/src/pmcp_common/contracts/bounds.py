"""Bounds of free-form values: what clients may put into an object or a list of ours, and how they may write it.

PostgreSQL text holds no NUL; size and depth are bounded before anything else walks through the value.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StringConstraints

MAX_OBJECT_BYTES = 8 * 1024
MAX_OBJECT_DEPTH = 8
MAX_NUMBER = 2.0**53
"""Beyond it JavaScript and others lose digits; also keeps out infinity and NaN."""


def plain(max_chars: int, min_chars: int = 0) -> StringConstraints:
    """Trimmed, at most `max_chars` characters, no NUL."""
    return StringConstraints(strip_whitespace=True, min_length=min_chars, max_length=max_chars, pattern=r"^[^\x00]*$")


def _check(value: object, depth: int) -> None:
    if depth > MAX_OBJECT_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_OBJECT_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth + 1)
    else:
        _check_leaf(value)


def _check_leaf(value: object) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("must not contain NUL characters")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("must be valid Unicode")
    elif isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
        raise ValueError("must hold only numbers that every client can read")


def _fits(value: dict[str, Any]) -> dict[str, Any]:
    """Size is judged on repr: this package has no JSON encoder, and the bound need not be exact."""
    _check(value, 0)
    if len(repr(value).encode(errors="replace")) > MAX_OBJECT_BYTES:
        raise ValueError(f"is over {MAX_OBJECT_BYTES} bytes")
    return value


def _split(value: object) -> object:
    """One string with commas is how some clients write a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _named(value: object) -> object:
    """A list of names is how some clients write traits: each is there."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return dict.fromkeys(value, True)
    return value


SPLIT = BeforeValidator(_split)
FreeObject = Annotated[dict[str, Any], AfterValidator(_fits)]
"""Any JSON object of at most 8 KiB, no NUL, not deeper than 8."""
TraitObject = Annotated[dict[str, Any], BeforeValidator(_named), AfterValidator(_fits)]
"""As `FreeObject`; a list of names becomes an object that says true for each."""
