"""What the kernel forbids a confined process, tried by one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.processes import run

_TRY = """
import json, os, socket, sys, threading
from pathlib import Path
from meshwise.store.confinement import confine

inside, outside = Path(sys.argv[1]), Path(sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
found = confine((inside, Path("/nowhere")))
tried = {}

def attempt(name, act):
    try:
        act()
        tried[name] = "done"
    except OSError as error:
        tried[name] = type(error).__name__

def everything():
    attempt("read", (outside / "there").read_text)
    attempt("write inside", lambda: (inside / "new").write_text("x"))
    attempt("rename inside", lambda: (inside / "new").rename(inside / "newer"))
    attempt("write", lambda: (outside / "there").write_text("x"))
    attempt("append", lambda: (outside / "there").open("a"))
    attempt("truncate", lambda: os.truncate(outside / "there", 0))
    attempt("make", lambda: (outside / "new").touch())
    attempt("make directory", lambda: (outside / "new").mkdir())
    attempt("remove", (outside / "there").unlink)
    attempt("take", lambda: (outside / "there").rename(inside / "taken"))
    attempt("give", lambda: (inside / "newer").rename(outside / "given"))
    attempt("connect", lambda: socket.create_connection(listener.getsockname(), 1))
    attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())

thread = threading.Thread(target=everything)
thread.start()
thread.join()
print(json.dumps([found.writes, found.connections, tried]))
"""


def test_a_confined_process_writes_in_its_directories_and_connects_to_nobody(tmp_path: Path) -> None:
    """Reading, listening and what is its own go on; changing anything else is refused, in every thread."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "there").write_text("as it was")
    status, out, err = run([sys.executable, "-c", _TRY, str(inside), str(outside)])
    assert status == 0, err
    writes, connections, tried = json.loads(out)
    if not writes:
        pytest.skip("this kernel has no Landlock, or forbids it here")
    expected = dict.fromkeys(("read", "write inside", "rename inside", "listen"), "done")
    for name in ("write", "append", "truncate", "make", "make directory", "remove", "take", "give"):
        expected[name] = "OSError" if tried[name] == "OSError" else "PermissionError"  # a move may be EXDEV
    expected["connect"] = "PermissionError" if connections else "done"
    assert tried == expected
    assert [path.name for path in outside.iterdir()] == ["there"]
    assert (outside / "there").read_text() == "as it was"
