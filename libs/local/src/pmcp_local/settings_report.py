"""Every setting of the stack and of its services: with its present value (`pmcp check-settings`), and all mistakes.

Reads the services' settings classes by their place (`<package>.settings`), as an operator would; nothing else
of a service is touched. Secrets are shown as stars.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from pmcp_common.configuration import ConfigurationError, explain_mistakes, unknown_keys, variable_of
from pmcp_local.settings import LocalSettings, read_settings


@dataclass(frozen=True, slots=True)
class SettingsReport:
    lines: tuple[str, ...]
    mistakes: tuple[str, ...]


class WrongSettings(Exception):
    """All that is wrong, a sentence each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def describe(packages: Sequence[str], flags: Mapping[str, Any] | None = None) -> SettingsReport:
    """All values and, at once, all mistakes in the file, the environment and the flags as they are now."""
    lines: list[str] = []
    mistakes: dict[str, None] = {}
    owned: list[tuple[str, type[BaseSettings]]] = [("pmcp_local", LocalSettings), *classes_of(packages)]
    try:
        mistakes.update(dict.fromkeys(unknown_keys(one for _, one in owned)))
    except ConfigurationError as error:
        return SettingsReport((), (str(error),))
    for owner, settings_class in owned:
        lines.append(f"{owner}:")
        try:
            lines += _rows(read_settings(flags or {}) if settings_class is LocalSettings else settings_class())
        except ValidationError as error:
            # What the stack has a setting for, it tells its services itself: there its own judgement counts.
            ours = () if settings_class is LocalSettings else LocalSettings.model_fields.keys()
            found = explain_mistakes(error, settings_class, but=ours)
            mistakes.update(dict.fromkeys(found))
            lines.append("  (see the mistakes below)" if found else "  (the stack tells it what fits)")
    return SettingsReport(tuple(lines), tuple(mistakes))


def read_checked_settings(flags: Mapping[str, Any], packages: Sequence[str]) -> LocalSettings:
    """The stack's settings, once those of all services are in order too. Raises WrongSettings."""
    mistakes = describe(packages, flags).mistakes
    if mistakes:
        raise WrongSettings(mistakes)
    return read_settings(flags)


def classes_of(packages: Sequence[str]) -> Iterator[tuple[str, type[BaseSettings]]]:
    """Package and settings class of each service that is installed."""
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
