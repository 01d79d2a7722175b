"""Runs control as a process of its own: ``python control_process.py '<settings as JSON>'``."""

from __future__ import annotations

import logging
import sys

import structlog

from meshwise.contracts.errors import ConfigError
from meshwise.control.main import run
from meshwise.control.settings import ControlSettings


def main() -> None:
    """Serve until told to stop; a wrong setting ends with one line and exit code 1."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        run(ControlSettings.model_validate_json(sys.argv[1]))
    except ConfigError as error:
        sys.exit(f"meshwise: {error}")


if __name__ == "__main__":
    main()
