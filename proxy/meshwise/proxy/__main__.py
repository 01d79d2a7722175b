"""``python -m meshwise.proxy settings.json``: run one proxy without the command line's configuration files."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import ValidationError

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.logs import configure_logs
from meshwise.proxy.main import run
from meshwise.proxy.settings import ProxySettings


def main(arguments: list[str]) -> int:
    """Run the proxy that the JSON file in ``arguments`` describes; return the exit status."""
    configure_logs()
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
