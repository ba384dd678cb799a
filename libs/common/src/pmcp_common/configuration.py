"""Where settings come from, for every process alike: `pmcp.toml` < older names < `.env` < environment < flags.

The file is `pmcp.toml` in the working directory, or what PMCP_CONFIG names. Its keys are the names of the settings
without `PMCP_`; a table is a prefix (`[gateway] port` is `gateway_port`). Knows no setting itself, but reads them all
the same way; whoever starts a process learns every mistake at once and sees no stack trace.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, SecretStr, StringConstraints, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

FILE_NAME = "pmcp.toml"
ENV_FILE = ".env"
WRONG_SETTINGS = 2
"""Exit code of a process whose settings do not do."""


LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    Field(description="least level written to standard error; DEBUG may show what players wrote"),
]
TenantId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class ConfigurationError(Exception):
    """The file itself cannot be used; the text is a sentence."""


class Settings(BaseSettings):
    """What each process derives its own class from."""

    model_config = SettingsConfigDict(
        env_prefix="PMCP_",
        env_file=ENV_FILE,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        protected_namespaces=(),
    )
    older_names: ClassVar[Mapping[str, str]] = {}
    """Variables that installations of the original have, and the field each means."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        older = InitSettingsSource(settings_cls, _older_values(cls.older_names))
        file = InitSettingsSource(settings_cls, read_file())
        return init_settings, env_settings, dotenv_settings, older, file


class _Place(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PMCP_", env_file=ENV_FILE, extra="ignore")
    config: Path | None = None


class _Names(BaseSettings):
    """The variables of the original, as the environment or `.env` has them."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, extra="ignore")
    server_host: str | None = None
    server_port: str | None = None
    ollama_host: str | None = None
    default_model: str | None = None


def _older_values(names: Mapping[str, str]) -> dict[str, Any]:
    if not names:
        return {}
    given = _Names()
    values = {field: getattr(given, variable.lower()) for variable, field in names.items()}
    return {field: value for field, value in values.items() if value is not None}


def read_file() -> dict[str, Any]:
    """The file's values by setting; nothing when there is no file. Raises ConfigurationError."""
    named = _Place().config
    path = named or Path(FILE_NAME)
    if named is None and not path.is_file():
        return {}
    try:
        return _flatten(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML ({error}).") from error


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = prefix + name.replace("-", "_").lower()
        if isinstance(value, dict):
            flat |= _flatten(value, f"{key}_")
        else:
            flat[key] = value
    return flat


def unknown_keys(classes: Iterable[type[BaseSettings]]) -> list[str]:
    """One sentence for each key of the file that no setting of these classes has: a slip of the pen."""
    known = {name for one in classes for name in one.model_fields}
    return [f"{name} in {FILE_NAME}: there is no such setting." for name in sorted(read_file().keys() - known)]


S = TypeVar("S", bound=BaseSettings)


def read_or_exit(settings_class: type[S]) -> S:
    """For a process's `__main__`: the settings, or every mistake on standard error and the end."""
    try:
        return settings_class()
    except ValidationError as error:
        mistakes = explain_mistakes(error, settings_class)
    except (ConfigurationError, SettingsError) as error:
        mistakes = [str(error)]
    sys.stderr.write("".join(f"{mistake}\n" for mistake in mistakes))
    sys.exit(WRONG_SETTINGS)


def from_command_line(settings_class: type[S], *, prog: str, description: str) -> S:
    """For a `__main__` that has no flags but `--help`, which tells every variable. Then as `read_or_exit`."""
    told = (
        f"  {variable_of(settings_class, name)} ({_shown(field.default)}): {field.description}"
        for name, field in settings_class.model_fields.items()
    )
    argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog="\n".join(("Configured by environment variables, .env and pmcp.toml (docs/configuration.md):", *told)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    return read_or_exit(settings_class)


def _shown(default: object) -> object:
    """Defaults are no secrets: only what is given may be one."""
    return default.get_secret_value() if isinstance(default, SecretStr) else default


def explain_mistakes(
    error: ValidationError, settings_class: type[BaseSettings], *, but: Container[str] = ()
) -> list[str]:
    """One sentence for each, naming the variable; values of secrets are not repeated. `but`: fields left out."""
    details = [(field_of(detail, settings_class), detail) for detail in error.errors()]
    return [_explain(field, detail, settings_class) for field, detail in details if field not in but]


def field_of(detail: ErrorDetails, settings_class: type[BaseSettings]) -> str | None:
    """The field a mistake is about; None when it is about several."""
    place = str(detail["loc"][0]).lower() if detail["loc"] else ""
    for name in settings_class.model_fields:
        if place in (name.lower(), variable_of(settings_class, name).lower()):
            return name
    return None


def _explain(field: str | None, detail: ErrorDetails, settings_class: type[BaseSettings]) -> str:
    if field is None:
        return f"settings: {_reason(detail)}."
    variable = variable_of(settings_class, field)
    if "Secret" in str(settings_class.model_fields[field].annotation):
        return f"{variable}: {_reason(detail)}."
    return f"{variable}: {_reason(detail)} (it is {detail['input']!r})."


def _reason(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Value error, ")


def variable_of(settings_class: type[BaseSettings], field: str) -> str:
    """The environment variable of a field: its alias, or the prefix and its name."""
    alias = settings_class.model_fields[field].validation_alias
    choices = getattr(alias, "choices", None)
    if choices:
        return str(choices[0])
    if isinstance(alias, str):
        return alias
    return f"{settings_class.model_config.get('env_prefix', '')}{field}".upper()
