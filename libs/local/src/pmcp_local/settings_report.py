"""`pmcp check-settings`: every setting of the stack and of its services, with its value, unit and reason.

Reads the services' settings classes by their place (`<package>.settings`), as an operator would; nothing else
of a service is touched. Secrets are shown as stars.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from pmcp_local.settings import LocalSettings


@dataclass(frozen=True, slots=True)
class SettingsReport:
    lines: tuple[str, ...]
    mistakes: tuple[str, ...]


def describe(packages: Sequence[str]) -> SettingsReport:
    """All values and, at once, all mistakes in the environment as it is now."""
    lines: list[str] = []
    mistakes: dict[str, None] = {}
    owned: list[tuple[str, type[BaseSettings]]] = [("pmcp_local", LocalSettings), *_classes_of(packages)]
    for owner, settings_class in owned:
        lines.append(f"{owner}:")
        try:
            lines += _rows(settings_class())
        except ValidationError as error:
            mistakes.update(dict.fromkeys(explain_mistakes(error, settings_class)))
            lines.append("  (see the mistakes below)")
    return SettingsReport(tuple(lines), tuple(mistakes))


def _classes_of(packages: Sequence[str]) -> Iterator[tuple[str, type[BaseSettings]]]:
    for package in packages:
        try:
            module = importlib.import_module(f"{package}.settings")
        except ModuleNotFoundError:
            continue
        for _, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, BaseSettings) and member.__module__ == module.__name__:
                yield package, member


def _rows(settings: BaseSettings) -> Iterator[str]:
    for name, field in type(settings).model_fields.items():
        extra = field.json_schema_extra
        unit = f" {extra['unit']}:" if isinstance(extra, dict) and "unit" in extra else ""
        value = getattr(settings, name)
        shown = "(unset)" if value is None else str(value)
        yield f"  {variable_of(type(settings), name)} = {shown}\n      {unit} {field.description or ''}".rstrip()


def explain_mistakes(error: ValidationError, settings_class: type[BaseSettings]) -> list[str]:
    """One sentence for each, naming the variable; values of secrets are not repeated."""
    return [_explain(detail, settings_class) for detail in error.errors()]


def _explain(detail: ErrorDetails, settings_class: type[BaseSettings]) -> str:
    place = str(detail["loc"][0]) if detail["loc"] else "settings"
    field = next((name for name in settings_class.model_fields if name.lower() == place.lower()), None)
    variable = variable_of(settings_class, field) if field else place
    if field is None or "Secret" in str(settings_class.model_fields[field].annotation):
        return f"{variable}: {detail['msg']}."
    return f"{variable}: {detail['msg']} (it is {detail['input']!r})."


def variable_of(settings_class: type[BaseSettings], field: str) -> str:
    """The environment variable of a field: its alias, or the prefix and its name."""
    alias = settings_class.model_fields[field].validation_alias
    choices = getattr(alias, "choices", None)
    if choices:
        return str(choices[0])
    if isinstance(alias, str):
        return alias
    return f"{settings_class.model_config.get('env_prefix', '')}{field}".upper()
