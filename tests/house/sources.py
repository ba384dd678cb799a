"""Where the house's source files are, and what its budgets say about one file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ("libs", "services", "bench")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
BANNED_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "misc", "base", "manager", "managers", "handler", "handlers"}
)


def python_files(root: Path = ROOT) -> list[Path]:
    return sorted(
        path for folder in SOURCE_FOLDERS for path in (root / folder).rglob("*.py") if "__pycache__" not in path.parts
    )


def over_budget(path: Path) -> Iterator[str]:
    """One sentence for each budget the file breaks."""
    text = path.read_text()
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{path.name}: {lines} lines, more than {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{path.name}: {node.name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def badly_named(path: Path) -> Iterator[str]:
    if path.stem in BANNED_NAMES:
        yield f"{path}: '{path.stem}' says nothing about what is inside"


def undocumented(path: Path) -> Iterator[str]:
    if ast.get_docstring(ast.parse(path.read_text())) is None:
        yield f"{path}: a module says at its top which boundary it keeps"
