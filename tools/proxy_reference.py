"""docs/reference/proxy.md: what a proxy answers by itself, what it counts, and the limits that are no settings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from meshwise.proxy import errors
from meshwise.proxy.events import EVENTS
from meshwise.proxy.http2.codes import NAMES
from meshwise.proxy.net.tls import REASONS

PAGE = Path("docs/reference/proxy.md")
SOURCE = Path("proxy/meshwise/proxy")
_GUARDS = "http2/guards.py"
_NO_LIMITS = frozenset(("http2/frames.py",))
"""Its MAX_… are names of the protocol's own settings."""
_CLASSES = ("http1/limits.py", "http2/limits.py")


def render(root: Path) -> str:
    """Return the page."""
    return "".join(
        [
            "# What a proxy answers, counts and bounds\n\n"
            "Generated from the code by `make docs`. Most limits are [settings](settings.md); bounds of policies are\n"
            "with [their fields](policy.md), what is exported over OTLP in [telemetry](telemetry.md).\n",
            _table("Answers of its own", "`x-meshwise-error` | status", answers()),
            "\nEach is counted by its name among the events.\n",
            _table("Events", "name | meaning", sorted(EVENTS.items())),
            "\nAn HTTP/2 connection that a proxy ends for its peer's mistake is counted as `http2_` with the code in\n"
            f"small letters: {', '.join(name.lower() for name in NAMES.values())}.\n"
            f"A TLS connection that came to nothing is counted under `identity.tls_failures`: {', '.join(REASONS)}.\n"
            "What access rules decided is under `access`: allowed, denied, `denied_<rule>`, `would_allow_<rule>`,\n"
            "`would_deny_<rule>`, no_token, bad_token, ambiguous_path, file_refused.\n",
            _table("/metrics", "name | kind | meaning", metrics(root)),
            "\nEvery number of `/stats` is there besides, as `meshwise_proxy_` with its path joined by underscores: an"
            " event of the outbound side is\n`meshwise_proxy_outbound_events_<name>`.\n",
            _table("Limits that are no settings", "where | name | value | meaning", limits(root)),
        ]
    )


def answers() -> Iterator[tuple[str, ...]]:
    """Yield reason, status and meaning of each answer, by status."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ProxyError)]
    own = {kind.reason: kind for kind in reversed(kinds) if kind.reason != errors.ProxyError.reason}
    for reason, kind in sorted(own.items(), key=lambda item: (item[1].status, item[0])):
        # An injected fault has whatever status its policy says.
        status = "any" if kind.status == errors.ProxyError.status else str(kind.status)
        yield reason, status, (kind.__doc__ or "").split("\n\n")[0]


def metrics(root: Path) -> Iterator[tuple[str, ...]]:
    """Yield name, kind and meaning of each family that is not taken from the statistics."""
    tree = ast.parse((root / SOURCE / "telemetry/exposition.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Family":
            texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
            if len(texts) == 3:
                yield tuple(str(text) for text in texts)


def limits(root: Path) -> Iterator[tuple[str, ...]]:
    """Yield module, name, value and meaning of each constant that bounds something."""
    for file in sorted((root / SOURCE).rglob("*.py")):
        where = file.relative_to(root / SOURCE).as_posix()
        if where in _NO_LIMITS:
            continue
        body = ast.parse(file.read_text(encoding="utf-8")).body
        if where in _CLASSES:
            body = next(node for node in body if isinstance(node, ast.ClassDef)).body
        for node, following in zip(body, [*body[1:], None], strict=True):
            name = _bound(node, everything=where in _CLASSES or where == _GUARDS)
            if name and isinstance(node, ast.AnnAssign) and node.value is not None:
                yield where.removesuffix(".py"), name, ast.unparse(node.value), _text(following)


def _bound(node: ast.stmt, *, everything: bool) -> str:
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        return ""
    name = node.target.id
    return name if everything or name.startswith(("MAX_", "MOST")) else ""


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def _table(heading: str, columns: str, rows: Iterator[tuple[str, ...]] | list[tuple[str, str]]) -> str:
    head = f"\n## {heading}\n\n| {columns}{' | meaning' if 'meaning' not in columns else ''} |\n"
    lines = [f"| {' | '.join(_cells(row))} |\n" for row in rows]
    return head + "| " + " | ".join(["---"] * (lines[0].count(" | ") + 1)) + " |\n" + "".join(lines)


def _cells(row: tuple[str, ...]) -> Iterator[str]:
    *names, meaning = (" ".join(cell.split()).replace("``", "`").replace("|", "\\|") for cell in row)
    for name in names:
        yield f"`{name}`"
    yield meaning or "–"
