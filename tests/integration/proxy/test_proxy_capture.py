"""Transparent capture between network namespaces: netfilter redirects what an application sends to the proxy."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_USER = 65_534
"""Who the application runs as: only its connections are redirected, not the proxy's."""
_TOOLS = ("ip", "nft", "setpriv")


def _may_make_namespaces() -> bool:
    if os.geteuid() or not all(map(shutil.which, _TOOLS)):
        return False
    name = f"mw{os.getpid()}p"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made


pytestmark = pytest.mark.skipif(
    not _may_make_namespaces(), reason="network namespaces need root, iproute2, nftables and util-linux"
)

SERVER = """
import http.server, socketserver, threading, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.client_address[0]} {self.headers['x-meshwise-source']}".encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
def greet():
    listener = socket.create_server(("::", 5432), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        one, _ = listener.accept()
        one.sendall(b"hello " + one.recv(100)); one.close()
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
threading.Thread(target=greet, daemon=True).start()
Server(("::", 8080), Handler).serve_forever()
"""

CLIENT = """
import http.client, json, socket, sys
def get(address, host):
    one = http.client.HTTPConnection(address, 8080, timeout=5)
    one.request("GET", "/", headers={"host": host})
    answer = one.getresponse()
    return [answer.status, answer.read().decode()]
def talk(address):
    with socket.create_connection((address, 5432), 5) as one:
        one.sendall(b"you"); return one.makefile("rb").read().decode()
print(json.dumps([get("10.201.0.2", "catalog:8080"), get("fd00:201::2", "catalog"), get("10.201.0.2", "nobody"),
                  talk("10.201.0.2"), talk("fd00:201::2")]))
"""

RULES = """
table inet meshwise {
    chain out {
        type nat hook output priority -100;
        meta skuid 65534 tcp dport { 5432, 8080 } redirect to :15001
    }
}
"""


def run(*command: str, **options: object) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return str(done.stdout)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: the application's and the service's."""
    near, far = f"mw{os.getpid()}a", f"mw{os.getpid()}b"
    with contextlib.ExitStack() as stack:
        for name, number in ((near, 1), (far, 2)):
            run("ip", "netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
            if number == 2:
                run("ip", "-n", near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far)
        for name, number in ((near, 1), (far, 2)):
            run("ip", "-n", name, "addr", "add", f"10.201.0.{number}/24", "dev", "cable")
            run("ip", "-n", name, "addr", "add", f"fd00:201::{number}/64", "dev", "cable", "nodad")
            for link in ("lo", "cable"):
                run("ip", "-n", name, "link", "set", link, "up")
        yield near, far


@contextlib.contextmanager
def running(namespace: str, *command: str) -> Iterator[None]:
    """Run a process in a namespace."""
    process = subprocess.Popen(["ip", "netns", "exec", namespace, *command])
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def listening(namespace: str, *ports: int) -> None:
    """Wait until all of ``ports`` take connections."""
    deadline = time.monotonic() + 20
    while not all(f":{port} " in run("ip", "netns", "exec", namespace, "ss", "-ltn") for port in ports):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_an_application_sends_is_captured(namespaces: tuple[str, str], tmp_path: Path) -> None:
    """An application that knows no proxy goes through it, over IPv4 and IPv6, HTTP by Host and TCP by port."""
    near, far = namespaces
    snapshot = {
        "version": 1,
        "service": "frontend",
        "clusters": {
            "catalog": {"endpoints": [{"id": "catalog-0", "host": "10.201.0.2", "port": 8080}]},
            "db": {"endpoints": [{"id": "db-0", "host": "10.201.0.2", "port": 5432}]},
        },
        "policies": [],
    }
    (tmp_path / "snapshot.json").write_text(json.dumps(snapshot))
    settings = {
        "service": "frontend",
        "host": "::",
        "snapshot_file": str(tmp_path / "snapshot.json"),
        "tcp_services": {"db": 5432},
        "transparent": True,
        "drain_delay_s": 0,
    }
    (tmp_path / "proxy.json").write_text(json.dumps(settings))
    run("ip", "netns", "exec", near, "nft", "-f", "-", input=RULES)
    with (
        running(far, sys.executable, "-c", SERVER),
        running(near, sys.executable, "-m", "meshwise.proxy", str(tmp_path / "proxy.json")),
    ):
        listening(near, 15001)
        listening(far, 8080, 5432)
        as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        found = json.loads(run("ip", "netns", "exec", near, *as_user, sys.executable, "-c", CLIENT))
    four, six, nobody, talk_four, talk_six = found
    assert four == six == [200, "::ffff:10.201.0.1 frontend"]
    assert nobody[0] == 404
    assert talk_four == talk_six == "hello you"
