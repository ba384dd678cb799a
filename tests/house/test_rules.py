"""The house rules are executable: each is kept today, and a planted violation is caught."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT

BIN = Path(sys.executable).parent
PACKAGES = {
    "pmcp_common": "libs/common",
    "pmcp_client": "libs/client",
    "pmcp_local": "libs/local",
    "pmcp_gateway": "services/gateway",
    "pmcp_llm_worker": "services/llm-worker",
    "pmcp_persona": "services/persona",
    "pmcp_memory": "services/memory",
}
PLANTED_IMPORTS = {
    "a service imports another": ("pmcp_gateway", "import pmcp_memory"),
    "common knows a service": ("pmcp_common", "import pmcp_gateway"),
    "a contract needs an encoder": ("pmcp_common/contracts/keys.py", "import orjson"),
    "a port knows its adapter": ("pmcp_common/bus.py", "import pmcp_common.bus_redis"),
    "the client reaches for the broker": ("pmcp_client", "import pmcp_common.redis_link"),
    "the local stack imports a service": ("pmcp_local", "import pmcp_persona"),
    "a parser opens sockets": ("pmcp_gateway/protocol.py", "import asyncio"),
    "a prompt reads the clock": ("pmcp_llm_worker/prompt.py", "import time"),
    "a formula asks the database": ("pmcp_memory/importance.py", "import asyncpg"),
    "a method knows the adapter": ("pmcp_gateway/methods/chat.py", "import pmcp_gateway.sessions_redis"),
    "a use case knows the broker": ("pmcp_llm_worker/chat_turn.py", "import pmcp_common.redis_link"),
}
PLANTED_CODE = {
    "TID251": "import os\nKEY = os.environ['X']\n",
    "BLE001": "try:\n    pass\nexcept Exception:\n    print()\n",
    "DTZ005": "import datetime\nNOW = datetime.datetime.now()\n",
    "T201": "print('hello')\n",
    "ASYNC251": "import time\n\n\nasync def wait() -> None:\n    time.sleep(1)\n",
    "S608": "def find(name: str) -> str:\n    return 'SELECT * FROM t WHERE n = ' + name\n",
}
BANNED_IMPORTS = ("pickle", "json", "requests")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "lint-imports", "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": str(BIN)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def copied_sources(tmp_path: Path) -> Path:
    """All packages side by side, so that a copy of them is what gets linted."""
    for package, home in PACKAGES.items():
        shutil.copytree(ROOT / home / "src" / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_import_rules_are_kept() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", PLANTED_IMPORTS)
def test_a_planted_import_breaks_the_rules(name: str, copied_sources: Path) -> None:
    place, line = PLANTED_IMPORTS[name]
    target = copied_sources / place
    target = target / "planted.py" if target.is_dir() else target
    target.write_text((target.read_text() if target.exists() else "") + f"\n{line}\n")
    result = lint_imports(copied_sources)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def ruff(text: str, *options: str) -> str:
    """What ruff says about a source file of a service with this text."""
    return subprocess.run(
        [
            BIN / "ruff",
            "check",
            "--no-cache",
            "--output-format=concise",
            "--stdin-filename=services/x.py",
            *options,
            "-",
        ],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    ).stdout


@pytest.mark.parametrize("rule", PLANTED_CODE)
def test_a_planted_fault_is_named_by_the_linter(rule: str) -> None:
    assert rule in ruff(PLANTED_CODE[rule])


@pytest.mark.parametrize("module", BANNED_IMPORTS)
def test_a_banned_module_is_named_by_the_linter(module: str) -> None:
    assert "TID251" in ruff(f"import {module}\n")


def test_a_missing_annotation_is_found_by_the_type_checker(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f(x):\n    return x\n")
    result = subprocess.run(
        [BIN / "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path / "cache", planted],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "no-untyped-def" in result.stdout
