"""Rules about documents: links that lead somewhere, dependencies that were decided, pages that are listed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)")
REQUIRED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "docs/architecture.md")
SKIPPED = {".venv", ".git", "node_modules", "meshwise-data"}


def problems(root: Path) -> list[str]:
    """Return one line per broken link, undecided dependency or missing page."""
    pages = [page for page in sorted(root.rglob("*.md")) if not SKIPPED & set(page.relative_to(root).parts)]
    found = [problem for page in pages for problem in _broken_links(root, page)]
    found += [
        f"{name} is missing or empty"
        for name in REQUIRED
        if not (root / name).is_file() or not (root / name).read_text(encoding="utf-8").strip()
    ]
    return found + _undecided(root)


def _broken_links(root: Path, page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        where = page.relative_to(root)
        if not destination.exists():
            found.append(f"{where}: link to {target} leads nowhere")
        elif anchor and destination.suffix == ".md" and anchor not in _anchors(destination):
            found.append(f"{where}: {destination.name} has no heading #{anchor}")
    return found


def _anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "")).lower().replace(" ", "-") for heading in headings}


def _undecided(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups += [[item for item in group if isinstance(item, str)] for group in project["dependency-groups"].values()]
    decided = (root / "docs/decisions/dependencies.md").read_text(encoding="utf-8").lower()
    found = []
    for requirement in sorted({item for group in groups for item in group}):
        match = REQUIREMENT.match(requirement)
        name = match.group(1).lower() if match else requirement
        if name != "meshwise" and f"`{name}`" not in decided:
            found.append(f"docs/decisions/dependencies.md does not say why `{name}` is needed")
    return sorted(set(found))
