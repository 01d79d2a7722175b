"""Rules about where things are: sizes, names, rooms, and a test file for every module with logic."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

ROOMS = ("contracts", "store", "proxy", "collector", "control", "analytics", "dashboard", "cli")
LONGEST_MODULE_LINES = 600
EMPTY_NAMES = re.compile(r"(^|/)(utils?|helpers?|common|misc|manager|stuff)\.py$")


def problems(root: Path) -> list[str]:
    """Return one line per broken rule; empty when the tree is sound."""
    files = _tracked(root)
    found: list[str] = []
    for name in files:
        if not name.endswith(".py"):
            continue
        if EMPTY_NAMES.search(name):
            found.append(f"{name}: a name that says nothing; call it by what it does")
        lines = len((root / name).read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_MODULE_LINES:
            found.append(f"{name}: {lines} lines, more than {LONGEST_MODULE_LINES}; is it one thing?")
    for room in ROOMS:
        if f"{room}/meshwise/__init__.py" in files:
            found.append(f"{room}/meshwise/__init__.py hides every other room; meshwise is a namespace package")
        if f"{room}/meshwise/{room}/py.typed" not in files:
            found.append(f"{room}/meshwise/{room}/py.typed is missing: the room's types are invisible to users")
        found += _undocumented(root, [name for name in files if name.startswith(f"{room}/") and name.endswith(".py")])
    return found


def _tracked(root: Path) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listing.stdout.splitlines() if (root / name).is_file()]


def _undocumented(root: Path, names: list[str]) -> list[str]:
    """Public functions without a docstring or without types: what a reader of the API would miss."""
    found = []
    for name in names:
        tree = ast.parse((root / name).read_text(encoding="utf-8"), filename=name)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    found.append(f"{name}:{node.lineno}: {node.name} has no docstring")
                if node.returns is None:
                    found.append(f"{name}:{node.lineno}: {node.name} does not say what it returns")
    return found
