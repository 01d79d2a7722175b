"""The real Alertmanager of Debian's package, for the length of a ``with`` block."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import free_port, start

BINARY = shutil.which("prometheus-alertmanager")
needs_alertmanager = pytest.mark.skipif(BINARY is None, reason="Debian's prometheus-alertmanager is not installed")


@contextlib.contextmanager
def running_alertmanager(directory: Path, webhook_url: str) -> Iterator[str]:
    """Run Alertmanager, which tells ``webhook_url`` at once, and yield its address."""
    directory.mkdir()
    config = directory / "alertmanager.json"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "route": {
                    "receiver": "there",
                    "group_by": ["service"],
                    "group_wait": "0s",
                    "group_interval": "1s",
                    "repeat_interval": "1h",
                },
                "receivers": [{"name": "there", "webhook_configs": [{"url": webhook_url, "send_resolved": True}]}],
            }
        )
    )
    port = free_port()
    command = [
        str(BINARY),
        f"--config.file={config}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with start(command, directory / "output") as process:
        base = f"http://127.0.0.1:{port}"
        process.wait_ready(f"{base}/-/ready")
        yield base
