"""Parameters against their contract, pure: a model, or InvalidParams in the words existing clients know.

The text names the field and the rule and never repeats the value, which may be a player's private words.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pmcp_common.contracts.errors import InvalidParams
from pmcp_common.contracts.methods import Params

_VALUE_ERROR = "Value error, "
_REQUIRED = "is required"
_NAME_CHARS = 200
"""Of a name told back: a key of an object may be any text a client sends."""
_SENTENCE = "must be "
"""Reasons of ours that go on from the field's name, in the words existing clients know."""


def validate(model: type[Params], params: dict[str, Any]) -> Params:
    """A parameter that is null counts as not given, as `params` itself does; what has no name here is left alone."""
    if None in params.values():
        known = model.model_fields
        params = {name: value for name, value in params.items() if value is not None or name not in known}
    try:
        return model.model_validate(params)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part)[:_NAME_CHARS] for part in fault["loc"]) or "params"
    reason = fault["msg"].removeprefix(_VALUE_ERROR)
    if _is_missing(fault["type"], fault.get("input")) or reason == _REQUIRED:
        raise InvalidParams(f"{field} {_REQUIRED}", field=field)
    if reason.startswith(_SENTENCE):
        raise InvalidParams(f"{field} {reason}", field=field)
    raise InvalidParams(f"{field}: {reason}", field=field)


def _is_missing(rule: str, value: object) -> bool:
    """Absent, null and blank are the same to a person."""
    return rule == "missing" or value is None or (isinstance(value, str) and not value.strip())
