"""Every check that `make check` and CI run, in order; each prints one line, failures print what is wrong.

python -m tools.check [--fix]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tools import documents, reference, structure

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def main(arguments: list[str]) -> int:
    """Run all checks; return 1 when any failed."""
    fix = "--fix" in arguments
    failed = [
        _command("format", "ruff", "format", *([] if fix else ["--check"]), "."),
        _command("lint", "ruff", "check", *(["--fix"] if fix else []), "."),
        _command("types", "mypy"),
        _command("imports", "lint-imports"),
        _problems("structure", structure.problems(ROOT)),
        _problems("documents", documents.problems(ROOT)),
        _problems("reference", reference.problems(ROOT)),
    ]
    return int(any(failed))


def _command(name: str, program: str, *arguments: str) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    output = [] if done.returncode == 0 else [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return _report(name, output or ([] if done.returncode == 0 else ["failed without a word"]), started)


def _problems(name: str, problems: list[str]) -> bool:
    return _report(name, problems, time.monotonic())


def _report(name: str, problems: list[str], started: float) -> bool:
    took = time.monotonic() - started
    print(f"{'FAIL' if problems else 'ok  '}  {name:<10} {took:5.1f} s", flush=True)
    for line in problems:
        print(f"      {line}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
