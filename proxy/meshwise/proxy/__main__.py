"""``python -m meshwise.proxy settings.json``: run one proxy without the command line's configuration files."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog
from pydantic import ValidationError

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.main import run
from meshwise.proxy.settings import ProxySettings


def main(arguments: list[str]) -> int:
    """Run the proxy that the JSON file in ``arguments`` describes; return the exit status."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m meshwise.proxy settings.json\n")
        return 2
    try:
        run(ProxySettings.model_validate_json(Path(arguments[0]).read_bytes()))
    except (ConfigError, ValidationError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
