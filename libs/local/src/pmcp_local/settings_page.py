"""docs/configuration.md, written from the settings classes (`make docs`): one row a setting, whoever reads it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from pmcp_common.configuration import variable_of
from pmcp_local.settings import LocalSettings
from pmcp_local.settings_report import classes_of
from pmcp_local.stack import service_packages

INTRODUCTION = """\
# Configuration

<!-- Written by `make docs` from the settings classes. Do not edit: a test compares. -->

A value is looked for in this order; the first one found counts:

1. flags of the command (`pmcp up --gateway-port 9000`)
2. environment variables (`PMCP_GATEWAY_PORT=9000`)
3. a file `.env` in the working directory, with the same names
4. the names of older installations, in the environment or in `.env`: `SERVER_HOST`, `SERVER_PORT` (of the gateway),
   `OLLAMA_HOST`, `DEFAULT_MODEL`
5. `pmcp.toml` in the working directory, or the file that `PMCP_CONFIG` names
6. the default

In `pmcp.toml` a key is the name below without `PMCP_`, in small letters; a table is a prefix:

```toml
tenant = "local"

[gateway]
port = 9000          # the same as gateway_port = 9000

[model]
api = "openai"
url = "http://127.0.0.1:8080"
```

`pmcp check-settings` shows every value as it is now. Wrong values, and keys of the file that no setting has, stop the
start, all of them named at once. `pmcp up` tells its services where their neighbours are, whatever the file says of
`redis_url`, `postgres_dsn`, `persona_url` and `memory_url`; those count for a service started by itself.
"""


@dataclass(slots=True)
class _Row:
    variable: str
    default: str
    description: str
    readers: list[str] = field(default_factory=list)


def render() -> str:
    """The whole page."""
    rows: dict[str, _Row] = {}
    classes: list[tuple[str, type[BaseSettings]]] = [("pmcp_local", LocalSettings), *classes_of(service_packages())]
    for package, settings_class in classes:
        for name, info in settings_class.model_fields.items():
            found = rows.setdefault(name, _row(settings_class, name, info))
            found.readers.append(READERS.get(package, package))
    return INTRODUCTION + "\n" + "\n".join(_table(rows)) + "\n"


READERS = {
    "pmcp_local": "pmcp",
    "pmcp_gateway": "gateway",
    "pmcp_llm_worker": "worker",
    "pmcp_persona": "persona",
    "pmcp_memory": "memory",
}


def _row(settings_class: type[BaseSettings], name: str, info: FieldInfo) -> _Row:
    extra = info.json_schema_extra
    unit = f" ({extra['unit']})" if isinstance(extra, dict) and "unit" in extra else ""
    return _Row(variable_of(settings_class, name), _shown(info.default), f"{info.description or ''}{unit}")


def _shown(default: object) -> str:
    """Defaults are no secrets: only what an operator gives may be one."""
    if default is None or default is PydanticUndefined:
        return "unset"
    return f"`{default.get_secret_value() if isinstance(default, SecretStr) else default}`"


def _table(rows: dict[str, _Row]) -> Iterator[str]:
    yield "| setting | default | read by | meaning |"
    yield "| --- | --- | --- | --- |"
    for row in rows.values():
        meaning = row.description.replace("|", "\\|")
        yield f"| `{row.variable}` | {row.default} | {', '.join(row.readers)} | {meaning} |"


def main() -> None:
    sys.stdout.write(render())


if __name__ == "__main__":
    main()
