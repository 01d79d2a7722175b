"""The control client against a scripted server in control's place, and against a real control process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.control_client import ControlClient
from meshwise.proxy.snapshot_cache import SnapshotCache
from support.control import running_control
from support.http_stub import Call, HttpStub, Reply

REGISTRATION = {
    "id": "frontend-1",
    "service": "frontend",
    "host": "127.0.0.1",
    "port": 15006,
    "admin_port": 15000,
    "version": "0",
}


class ScriptedControl:
    """Control as the client sees it, with its state in plain fields."""

    def __init__(self) -> None:
        self.version = 1
        self.service = "frontend"
        self.document: dict[str, Any] = {}
        self.known = False
        self.streaming = True
        self.fail: Callable[[Call], Reply | None] = lambda _: None
        self.changed = asyncio.Event()
        self.acks: list[tuple[int, str, str]] = []
        self.beats: list[dict[str, Any]] = []
        self.registrations: list[dict[str, Any]] = []
        self.gone = 0
        self.secret = ""

    def publish(self, version: int, **document: Any) -> None:
        """Put a snapshot in force and tell the streams."""
        self.version, self.document = version, document
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def end_streams(self) -> None:
        """Close every event stream."""
        self.streaming = False
        self.changed.set()

    def __call__(self, call: Call) -> Reply:
        """Answer as control does."""
        failure = self.fail(call)
        if failure is not None:
            return failure
        if (call.method, call.path) == ("POST", "/v1/proxies"):
            self.registrations.append(json.loads(call.body))
            self.known = True
            self.secret = f"secret {len(self.registrations)}"
            return Reply(body=json.dumps({"heartbeat_s": 0.1, "ttl_s": 10.0, "secret": self.secret}).encode())
        path = call.path.removeprefix("/v1/proxies/frontend-1")
        if not self.known:
            return Reply(404, b'{"error": {"path": "id", "problem": "unknown"}}')
        if call.method != "GET" and call.headers.get("x-meshwise-registration") != self.secret:
            return Reply(403, b'{"error": {"path": "id", "problem": "was registered by another process"}}')
        if path == "/heartbeat":
            self.beats.append(json.loads(call.body))
            return Reply(body=b"{}")
        if path == "/acks":
            ack = json.loads(call.body)
            self.acks.append((ack["version"], ack["status"], ack["reason"]))
            return Reply(body=b"{}")
        if path == "/snapshot":
            etag = f'"{self.version}-{abs(hash(str(self.document)))}"'
            if call.headers.get("if-none-match") == etag:
                return Reply(304, headers={"etag": etag})
            document = {
                "version": self.version,
                "service": self.service,
                "clusters": {},
                "policies": [],
                **self.document,
            }
            return Reply(body=json.dumps(document).encode(), headers={"etag": etag})
        if path == "/events":
            if not self.streaming:
                return Reply(503)
            return Reply(stream=self.events(), headers={"content-type": "text/event-stream"})
        assert (call.method, path) == ("DELETE", "")
        self.gone += 1
        return Reply(204)

    async def events(self) -> AsyncIterator[bytes]:
        """Tell of every change."""
        while self.streaming:
            yield f'event: snapshot\ndata: {{"version": {self.version}}}\n\n'.encode()
            await self.changed.wait()


class Applied:
    """What the data path was given; ``refuse`` makes it raise."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.refuse: Exception | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        """Take a snapshot."""
        if self.refuse is not None:
            raise self.refuse
        self.snapshots.append(snapshot)

    @property
    def versions(self) -> list[int]:
        """Versions in order."""
        return [snapshot.version for snapshot in self.snapshots]

    def policies(self) -> dict[str, int]:
        """Name → version in force."""
        return {p.name: p.version for p in self.snapshots[-1].policies} if self.snapshots else {}


async def eventually(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


def client_of(url: str, applied: Applied, cache: SnapshotCache | None = None) -> ControlClient:
    """Return a client with short pauses."""
    return ControlClient(url, REGISTRATION, applied, applied.policies, cache, first_wait_s=0.02, timeout_s=2.0)


async def test_register_apply_acknowledge_follow_leave() -> None:
    """The whole life of a registration, in order."""
    control, applied = ScriptedControl(), Applied()
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: control.acks == [(1, "applied", "")])
        assert control.registrations == [REGISTRATION]
        control.publish(2, policies=[{"match": {"service": "catalog"}, "name": "p", "version": 9}])
        await eventually(lambda: control.acks[-1] == (2, "applied", ""))
        await eventually(
            lambda: bool(control.beats) and control.beats[-1] == {"snapshot_version": 2, "policies": {"p": 9}}
        )
        assert client.connected
        assert client.snapshot_version == 2
        await client.stop()
        assert control.gone == 1
    assert applied.versions == [1, 2]


async def test_control_that_comes_late_is_found() -> None:
    """Starting does not wait for control, and what is cached serves meanwhile."""
    control, applied = ScriptedControl(), Applied()
    stub = HttpStub(control)
    async with stub:
        pass
    client = client_of(stub.url, applied)
    async with asyncio.timeout(1.0):
        await client.start()
    await eventually(lambda: client.last_error != "")
    assert not client.connected
    async with HttpStub(control, stub.port):
        await eventually(lambda: applied.versions == [1])
        await client.stop()


async def test_a_refused_snapshot_leaves_the_old_one() -> None:
    """Whatever is wrong with a document, control hears why, once, and the next good one is taken."""
    control, applied = ScriptedControl(), Applied()
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: control.acks == [(1, "applied", "")])
        control.publish(2, nonsense=1)
        await eventually(lambda: len(control.acks) == 2)
        assert control.acks[-1][:2] == (2, "rejected")
        assert "nonsense" in control.acks[-1][2]
        applied.refuse = DocumentError("policies[0].timeout", "does not fit")
        control.publish(3)
        await eventually(lambda: len(control.acks) == 3)
        assert control.acks[-1] == (3, "rejected", "policies[0].timeout: does not fit")
        applied.refuse = ZeroDivisionError()
        control.publish(4)
        await eventually(lambda: len(control.acks) == 4)
        assert control.acks[-1] == (4, "rejected", "internal error: ZeroDivisionError")
        applied.refuse = None
        control.publish(5, service="someone-else")
        await eventually(lambda: len(control.acks) == 5)
        assert control.acks[-1][:2] == (5, "rejected")
        assert client.snapshot_version == 1
        control.publish(6)
        await eventually(lambda: client.snapshot_version == 6)
        await client.stop()
    assert applied.versions == [1, 6]
    assert [ack[0] for ack in control.acks] == [1, 2, 3, 4, 5, 6]
    assert client.rejected == 4


async def test_a_lower_version_is_refused_while_registered() -> None:
    """A version that goes back is refused and reported."""
    control, applied = ScriptedControl(), Applied()
    control.version = 5
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: client.snapshot_version == 5)
        control.publish(4)
        await eventually(lambda: len(control.acks) == 2)
        assert control.acks[-1][:2] == (4, "rejected")
        assert "older than 5" in control.acks[-1][2]
        await client.stop()
    assert applied.versions == [5]


async def test_a_control_without_memory_is_followed_again() -> None:
    """After control forgot this proxy, the proxy registers again and takes control's version though it is lower."""
    control, applied = ScriptedControl(), Applied()
    control.version = 50
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: client.snapshot_version == 50)
        control.known = False
        control.publish(2)
        await eventually(lambda: client.snapshot_version == 2)
        await eventually(lambda: control.acks[-1] == (2, "applied", ""))
        assert len(control.registrations) == 2
        control.publish(1)
        await eventually(lambda: control.acks[-1][:2] == (1, "rejected"))
        await client.stop()
    assert applied.versions == [50, 2]


async def test_a_registration_taken_over_is_taken_back() -> None:
    """When somebody else registers under its id, control no longer hears the proxy; it registers again and is heard."""
    control, applied = ScriptedControl(), Applied()
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: bool(control.beats and control.acks))
        control.secret = "somebody else's"
        await eventually(lambda: len(control.registrations) == 2)
        control.publish(2)
        await eventually(lambda: control.acks[-1] == (2, "applied", ""))
        await client.stop()
    assert control.gone == 1


async def test_polling_takes_over_when_the_stream_breaks() -> None:
    """Without the stream new snapshots still come."""
    control, applied = ScriptedControl(), Applied()
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: client.snapshot_version == 1)
        control.end_streams()
        control.publish(2)
        await eventually(lambda: client.snapshot_version == 2)
        control.publish(3)
        await eventually(lambda: client.snapshot_version == 3)
        await client.stop()


async def test_an_acknowledgement_control_missed_is_sent_again() -> None:
    """A rollout waits for acknowledgements, so one that failed stays due."""
    control, applied = ScriptedControl(), Applied()
    failures = iter([Reply(503), Reply(cut=True), Reply(500)])
    control.fail = lambda call: next(failures, None) if call.path.endswith("/acks") else None
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: (1, "applied", "") in control.acks)
        await client.stop()
    assert applied.versions == [1]


async def test_the_cached_snapshot_serves_until_control_answers(tmp_path: Path) -> None:
    """A restart without control starts from the disk; control's own snapshot then replaces it, even a lower one."""
    control, applied = ScriptedControl(), Applied()
    control.version = 7
    cache = SnapshotCache(tmp_path, "frontend-1")
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied, cache)
        await client.start()
        await eventually(lambda: control.acks == [(7, "applied", "")])
        await client.stop()
    again = Applied()
    client = client_of(stub.url, again, cache)
    await client.start()
    assert again.versions == [7]
    fresh = ScriptedControl()
    async with HttpStub(fresh, stub.port):
        await eventually(lambda: client.snapshot_version == 1)
        await eventually(lambda: fresh.acks == [(1, "applied", "")])
        await client.stop()


APPROVED = {"match": {"service": "catalog"}, "name": "p", "version": 1}
ON_TRIAL = {
    "policies": [{**APPROVED, "timeout": {"request": "1s"}, "version": 2}],
    "trial": {"patience": "300ms", "names": ["p"], "in_force": [APPROVED]},
}


@pytest.mark.parametrize("silent", ["", "/snapshot"], ids=["control", "its snapshots alone"])
async def test_a_trial_ends_in_silence_and_goes_on_after_it(silent: str) -> None:
    """Control that does not confirm the candidate has it obeyed no longer; a heartbeat it answers does not confirm."""
    control, applied = ScriptedControl(), Applied()
    control.publish(5, **ON_TRIAL)
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: applied.policies() == {"p": 2})
        asked = len(stub.calls)
        await eventually(lambda: any(call.path.endswith("/snapshot") for call in stub.calls[asked:]))
        control.fail = lambda call: Reply(503) if call.path.endswith(silent) else None
        ended = client.trials_ended
        await eventually(lambda: applied.policies() == {"p": 1})
        await eventually(lambda: client.trials_ended > ended)
        assert client.stats()["on_trial"] is False
        assert client.snapshot_version == 5
        control.fail = lambda _: None
        await eventually(lambda: applied.policies() == {"p": 2})
        control.publish(6, policies=[APPROVED])
        await eventually(lambda: client.snapshot_version == 6)
        assert applied.policies() == {"p": 1}
        await client.stop()


async def test_a_trial_does_not_outlive_a_snapshot_that_is_refused() -> None:
    """When control has moved on to what this proxy cannot take, nothing confirms the candidate it still has."""
    control, applied = ScriptedControl(), Applied()
    control.publish(5, **ON_TRIAL)
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: applied.policies() == {"p": 2})
        control.publish(6, nonsense=1)
        await eventually(lambda: applied.policies() == {"p": 1})
        assert client.rejected == 1
        await client.stop()


async def test_a_trial_is_not_taken_up_from_the_cache(tmp_path: Path) -> None:
    """A restart in the middle of a trial begins with what was approved; control's word takes the trial up again."""
    control, applied = ScriptedControl(), Applied()
    control.publish(5, **ON_TRIAL)
    cache = SnapshotCache(tmp_path, "frontend-1")
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied, cache)
        await client.start()
        await eventually(lambda: (5, "applied", "") in control.acks)
        await client.stop()
    again = Applied()
    client = client_of(stub.url, again, cache)
    await client.start()
    assert (again.versions, again.policies()) == ([5], {"p": 1})
    async with HttpStub(control, stub.port):
        await eventually(lambda: again.policies() == {"p": 2})
        await client.stop()


async def test_the_same_snapshot_is_acknowledged_and_not_applied_twice(tmp_path: Path) -> None:
    """What the cache already put in force is only confirmed."""
    control, applied = ScriptedControl(), Applied()
    cache = SnapshotCache(tmp_path, "frontend-1")
    cache.store(Snapshot(1, "frontend", {}, ()))
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied, cache)
        await client.start()
        await eventually(lambda: control.acks == [(1, "applied", "")])
        await client.stop()
    assert applied.versions == [1]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(200, b"not json"),
        Reply(200, b"[]"),
        Reply(cut=True),
        Reply(raw=b"garbage\r\n\r\n"),
        Reply(422, b'{"error": {"path": "id", "problem": "bad"}}'),
    ],
)
async def test_odd_answers_only_delay(reply: Reply) -> None:
    """Nonsense from control at any step ends in another try."""
    control, applied = ScriptedControl(), Applied()
    odd = iter([reply] * 6)
    calls = iter(range(10**9))
    control.fail = lambda _: next(odd, None) if next(calls) % 2 == 0 else None
    async with HttpStub(control) as stub:
        client = client_of(stub.url, applied)
        await client.start()
        await eventually(lambda: client.connected and client.snapshot_version == 1)
        await eventually(lambda: (control.publish(9), client.snapshot_version == 9)[1])  # type: ignore[func-returns-value]
        await client.stop()


async def test_a_real_control_sees_the_proxy_and_its_acknowledgements(tmp_path: Path) -> None:
    """With control as a process: the proxy appears alive, follows a policy, and disappears when it leaves."""
    applied = Applied()
    with running_control(tmp_path, heartbeat_s=0.2, ttl_s=2.0) as control:
        client = client_of(control.url, applied)
        await client.start()
        await eventually(lambda: client.snapshot_version > 0)
        status, _ = await asyncio.to_thread(
            control.put_policy, {"match": {"service": "catalog"}, "timeout": {"request": "1s"}}
        )
        assert status == 200
        await eventually(lambda: bool(applied.policies()))

        def settled() -> bool:
            (proxy,) = control.get("/v1/proxies")["proxies"]
            return (proxy["status"], proxy["snapshot_version"], proxy["policies"]) == (
                "applied",
                client.snapshot_version,
                applied.policies(),
            )

        await eventually(settled)
        (proxy,) = control.get("/v1/proxies")["proxies"]
        assert proxy["alive"]
        await client.stop()
        assert control.get("/v1/proxies")["proxies"] == []


async def test_a_real_control_that_lost_its_state_is_followed_again(tmp_path: Path) -> None:
    """Control restarts on the same port with an empty database: the proxy is there again without a restart."""
    applied = Applied()
    with running_control(tmp_path / "one", heartbeat_s=0.2, ttl_s=2.0) as control:
        port = control.port
        client = client_of(control.url, applied)
        await client.start()
        for version in range(3):
            document = {"match": {"service": "catalog"}, "timeout": {"request": f"{version + 1}s"}}
            await asyncio.to_thread(control.put_policy, document)
        await eventually(lambda: client.snapshot_version >= 4)
        before = client.snapshot_version
    with running_control(tmp_path / "two", port=port, heartbeat_s=0.2, ttl_s=2.0) as control:
        await eventually(lambda: client.connected and client.snapshot_version < before, 20.0)
        await eventually(lambda: [p["id"] for p in control.get("/v1/proxies")["proxies"]] == ["frontend-1"])
        await client.stop()
