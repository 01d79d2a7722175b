"""The ``meshwise`` command: one front door to every room, and nothing of their weight until it is opened.

``main`` runs the command line and turns every error meant for a person into one line, ``meshwise: …``, and exit 1.

- ``app``            the command tree; ``commands`` holds one module per group of verbs
- ``rooms``          which rooms there are, and how each is loaded only when it is wanted
- ``configuration``  ``meshwise.yaml`` + environment + flags → one checked, frozen settings object per room
- ``logs``           JSON lines on standard error, or readable ones on a terminal
- ``supervisor``     child processes: started in order, watched, restarted, stopped in reverse, never left behind
- ``platform``       the parts that ``meshwise up`` runs
- ``demo``           the platform, the sample shop behind proxies, load, a fault, and the loop closing
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its status."""
    import sys

    from meshwise.cli.app import execute

    sys.exit(execute(sys.argv[1:]))
