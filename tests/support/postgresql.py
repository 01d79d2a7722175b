"""A real PostgreSQL server for tests, on a free port, with its state in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.processes import free_port


def binaries() -> Path | None:
    """Return the directory of PostgreSQL's programs (Debian keeps them off the path); None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve())
    return found[-1].parent if found else None


@dataclass(frozen=True)
class PostgreSQL:
    """A server under test."""

    programs: Path
    directory: Path
    port: int
    user: str

    def new_database(self) -> str:
        """Make an empty database and return its address for SQLAlchemy."""
        name = f"test_{time.monotonic_ns()}"
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "meshwise", name)
        return f"postgresql+psycopg://meshwise@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        where = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.directory}"
        self.control("-l", str(self.directory / "log"), "-o", f"{where} -c fsync=off", "start")

    def stop(self) -> None:
        """Cut every connection and stop."""
        self.control("-m", "fast", "stop")

    def control(self, *arguments: str) -> None:
        """Run pg_ctl on this server's data."""
        self.run("pg_ctl", "-D", str(self.directory / "data"), *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs; it refuses to run as root."""
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            user=self.user or None,
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # not a pipe: the server would inherit and hold it
            stderr=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {self.log}"

    @property
    def log(self) -> str:
        """What the server wrote."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextlib.contextmanager
def running_postgresql(programs: Path) -> Iterator[PostgreSQL]:
    """Run a server with one superuser, ``meshwise``, who needs no password from this machine."""
    user = _unprivileged() if os.geteuid() == 0 else ""
    # Below the temporary directory itself: pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(prefix="meshwise-postgresql-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if user:
            shutil.chown(directory, user)
        server = PostgreSQL(programs, directory, free_port(), user)
        server.run("initdb", "-D", str(directory / "data"), "-U", "meshwise", "-A", "trust", "-N", "-E", "UTF8")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _unprivileged() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
