"""Control as a real process over HTTP."""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.control import Control, eventually, running_control

EDGE = {"source": "frontend", "service": "catalog"}


def document(request: str = "1s", **match: str) -> dict[str, Any]:
    return {"match": {**EDGE, **match}, "timeout": {"request": request}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """One control process for tests that leave each other alone."""
    with running_control(tmp_path_factory.mktemp("control")) as control:
        yield control


def test_a_proxy_registers_hears_of_a_change_and_answers(tmp_path: Path) -> None:
    """Register, snapshot, event on a change, acknowledgement: the whole conversation."""
    with running_control(tmp_path) as control:
        proxy = control.register("frontend-1", "frontend")
        first = control.client.get("/v1/proxies/frontend-1/snapshot")
        tag = {"if-none-match": first.headers["etag"]}
        assert control.client.get("/v1/proxies/frontend-1/snapshot", headers=tag).status_code == 304
        with control.client.stream("GET", "/v1/proxies/frontend-1/events") as stream:
            lines = stream.iter_lines()
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert [next(lines), json.loads(next(lines)[5:]), next(lines)] == [
                "event: snapshot",
                {"version": first.json()["version"]},
                "",
            ]
            status, answer = control.put_policy(document())
            assert (status, answer["policy"]["version"]) == (200, 1)
            assert next(lines) == "event: snapshot"
            told = json.loads(next(lines)[5:])["version"]
        assert told == first.json()["version"] + 1
        assert control.client.get("/v1/proxies/frontend-1/snapshot", headers=tag).status_code == 200
        snapshot = proxy.apply()
        assert [policy["name"] for policy in snapshot["policies"]] == ["frontend.catalog"]
        (listed,) = control.get("/v1/proxies")["proxies"]
        assert (listed["status"], listed["snapshot_version"], listed["alive"]) == ("applied", told, True)
        proxy.acknowledge(told, "rejected", "no such field")
        (listed,) = control.get("/v1/proxies")["proxies"]
        assert (listed["status"], listed["reason"]) == ("rejected", "no such field")
        assert proxy.leave() == 204
        assert proxy.heartbeat() == 404


def test_a_silent_proxy_leaves_the_snapshots_and_may_come_back(tmp_path: Path) -> None:
    """Without heartbeats an endpoint goes after its ttl; one that speaks stays."""
    with running_control(tmp_path, ttl_s=0.6, tick_s=0.05) as control:
        quiet, lively = control.register("a-1", "a"), control.register("a-2", "a")

        def endpoints() -> list[str]:
            assert lively.heartbeat() == 200
            return [e["id"] for e in lively.snapshot()["clusters"]["a"]["endpoints"]]

        assert endpoints() == ["a-1", "a-2"]
        eventually(lambda: endpoints() == ["a-2"])
        assert quiet.heartbeat() == 404
        quiet.register()
        assert endpoints() == ["a-1", "a-2"]


def test_a_candidate_beside_a_policy_is_handed_to_the_callers_proxies(shared: Control) -> None:
    """A shadow section arrives in the snapshot as it was given, beside the policy that it is a candidate for."""
    proxy = shared.register("shade-1", "shade")
    candidate = {"timeout": {"request": "1s", "attempt": "200ms"}, "version": 7}
    status, _ = shared.put_policy({"match": {"source": "shade", "service": "catalog"}, "shadow": candidate})
    assert status == 200
    (policy,) = (p for p in proxy.snapshot()["policies"] if p["name"] == "shade.catalog")
    assert policy["shadow"]["version"] == 7
    assert policy["shadow"]["timeout"]["attempt"] == "200ms"
    assert policy["timeout"]["request"] == "15s"
    assert proxy.leave() == 204


def test_versions_count_up_and_an_old_base_is_refused(shared: Control) -> None:
    """Each change is a version; one made on an old version is a conflict, and undo is a version too."""
    name = "frontend.versions"
    assert shared.put_policy(document(service="versions"), base_version=0)[1]["policy"]["version"] == 1
    assert shared.put_policy(document("2s", service="versions"), base_version=1)[1]["policy"]["version"] == 2
    status, answer = shared.put_policy(document("3s", service="versions"), base_version=1)
    assert (status, answer["error"]["path"]) == (409, "base_version")
    undone = shared.post(f"/v1/policies/{name}/undo", {"reason": "slow"})["policy"]
    assert (undone["version"], undone["timeout"]["request"]) == (3, "1s")
    assert [v["version"] for v in shared.get(f"/v1/policies/{name}/versions")["versions"]] == [3, 2, 1]
    assert shared.call("DELETE", f"/v1/policies/{name}")[0] == 204
    assert shared.call("GET", f"/v1/policies/{name}")[0] == 404


def test_of_two_operators_at_once_one_wins_and_both_are_on_record(shared: Control) -> None:
    """Ten writers on the same base: one succeeds, and the audit trail names every one."""
    shared.put_policy(document(service="race"))

    def write(n: int) -> int:
        body = {"policy": document(f"{n + 2}s", service="race"), "base_version": 1}
        headers = {"x-meshwise-actor": f"operator-{n}"}
        with httpx.Client(base_url=shared.url, trust_env=False) as client:
            return client.put("/v1/policies/frontend.race", json=body, headers=headers).status_code

    with ThreadPoolExecutor(10) as threads:
        statuses = sorted(threads.map(write, range(10)))
    assert statuses == [200] + [409] * 9
    entries = [e for e in shared.get("/v1/audit?limit=1000")["entries"] if e["target"] == "frontend.race"]
    assert {e["actor"] for e in entries} >= {f"operator-{n}" for n in range(10)}
    assert sum(e["action"] == "policy.put.refused" for e in entries) == 9


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """Policies, rollouts, audit, freeze, registry and revision outlive the process, also when it is killed."""
    with running_control(tmp_path) as control:
        proxies = [control.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(2)]
        control.put_policy(document())
        rollout = control.begin_rollout(document("2s"), stages=[50, 100])[1]
        control.post("/v1/freeze", {"frozen": True, "reason": "incident"})
        before = (proxies[0].snapshot(), proxies[1].snapshot(), control.get("/v1/audit?limit=1000"))
        control.process.kill()
    with running_control(tmp_path) as control:
        after = tuple(control.get(f"/v1/proxies/frontend-{n}/snapshot") for n in range(2))
        assert (*after, control.get("/v1/audit?limit=1000")) == before
        assert control.get(f"/v1/rollouts/{rollout['id']}") == rollout
        assert control.get("/v1/freeze")["frozen"] is True
        assert all(proxy["alive"] for proxy in control.get("/v1/proxies")["proxies"])
        assert control.process.terminate() == 0
        assert control.process.stdout == ""


def test_open_streams_do_not_hold_up_the_end(tmp_path: Path) -> None:
    """SIGTERM ends event streams, and the process returns with success."""
    with running_control(tmp_path) as control:
        control.register("a-1", "a")
        with control.client.stream("GET", "/v1/proxies/a-1/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: snapshot"
            assert control.process.terminate() == 0
            assert [line for line in lines if line.startswith("event")] == []


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("GET", "/nowhere", None, {}, 404),
        ("PATCH", "/v1/policies", None, {}, 405),
        ("GET", "/v1/proxies/%00/snapshot", None, {}, 404),
        ("GET", "/v1/proxies/..%2f..%2fetc/snapshot", None, {}, 404),
        ("GET", "/v1/rollouts/nothing", None, {}, 404),
        ("GET", "/v1/rollouts?state=odd", None, {}, 422),
        ("GET", "/v1/audit?limit=-1", None, {}, 422),
        ("POST", "/v1/rollouts/nothing/approve", b"{}", {"content-type": "text/plain"}, 415),
        ("POST", "/v1/rollouts/nothing/approve", b"", {}, 415),
        ("POST", "/v1/proxies", b"[]", {}, 422),
        ("POST", "/v1/proxies", b'{"id": "a", "id": "b"}', {}, 422),
        ("POST", "/v1/proxies", b'{"port": NaN}', {}, 422),
        ("POST", "/v1/proxies", b'{"a":' * 50_000, {}, 422),
        ("POST", "/v1/proxies", b"{", {}, 400),
        ("POST", "/v1/freeze", b'{"frozen": "yes"}', {}, 422),
        ("PUT", "/v1/policies/x", b'{"reason": "' + b"x" * 2_000_000 + b'"}', {}, 413),
        ("PUT", "/v1/policies/x", b'{"policy": {"name": "' + b"x" * 300_000 + b'"}}', {}, 422),
        ("PUT", "/v1/policies/x", b'{"policy": {"match": {"service": "x"}, "timeout": {"request": "0s"}}}', {}, 422),
        ("POST", "/v1/rollouts", b'{"policy": {"match": {"service": "x"}}, "stages": [100]}', {}, 422),
        ("POST", "/v1/rollouts", b'{"policy": {"match": {"service": "x"}}, "mode": "fast"}', {}, 422),
        ("GET", "/v1/policies", None, {"host": "rebound.example"}, 400),
        ("GET", "/v1/policies", None, {"origin": "https://evil.example"}, 403),
        ("POST", "/v1/freeze", b'{"frozen": true}', {"x-meshwise-actor": "a\tb"}, 400),
    ],
    ids=str,
)
def test_bad_requests_get_one_shape_of_error(
    shared: Control, *, method: str, path: str, content: bytes | None, headers: dict[str, str], status: int
) -> None:
    """Whatever is wrong is answered with its status and path and problem, and changes nothing."""
    before = shared.get("/v1/audit?limit=1000"), shared.get("/v1/freeze")
    given = {"content-type": "application/json", **headers} if content else headers
    answer = shared.client.request(method, path, content=content, headers=given)
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"path", "problem"}
    assert answer.json()["error"]["problem"]
    assert "Traceback" not in answer.text
    assert (shared.get("/v1/audit?limit=1000"), shared.get("/v1/freeze")) == before


def test_probes_metrics_and_the_schema_are_served(shared: Control) -> None:
    """The process says that it lives, is ready, what it counted, and how a policy is written."""
    assert shared.get("/livez") == {"status": "ok"}
    assert shared.get("/readyz")["status"] == "ok"
    assert "meshwise_control_requests_total" in shared.client.get("/metrics").text
    assert shared.get("/v1/policy.schema.json")["title"] == "meshwise traffic policy"


def test_a_token_guards_everything_but_the_probes(tmp_path: Path) -> None:
    """With a token set, a request without it or with another is refused."""
    token = "0123456789abcdef"
    with running_control(tmp_path, token=token) as control:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": token}):
            answer = control.client.get("/v1/policies", headers=headers)
            assert (answer.status_code, answer.json()["error"]["path"]) == (401, "authorization")
        good = {"authorization": f"Bearer {token}"}
        assert control.client.get("/v1/policies", headers=good).status_code == 200
        assert control.client.get("/livez").status_code == 200


def test_a_port_in_use_ends_with_one_line(tmp_path: Path, shared: Control) -> None:
    """The second process on a port says so and exits with 1."""
    with pytest.raises(AssertionError, match="exit code 1") as raised, running_control(tmp_path, port=shared.port):
        pass
    assert "address already in use" in str(raised.value)
    assert "Traceback" not in str(raised.value)


async def test_a_change_wakes_every_listener(tmp_path: Path) -> None:
    """Forty proxies listen, one change comes, forty hear of it, and a reader that never reads disturbs nobody."""
    with running_control(tmp_path) as control:
        for n in range(41):
            control.register(f"a-{n}", "a", port=9000 + n)
        idle = socket.create_connection(("127.0.0.1", control.port))
        idle.sendall(b"GET /v1/proxies/a-40/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        async with httpx.AsyncClient(base_url=control.url, trust_env=False, timeout=20.0) as client:
            ready = asyncio.Semaphore(0)

            async def listen(n: int) -> list[int]:
                heard: list[int] = []
                async with client.stream("GET", f"/v1/proxies/a-{n}/events") as stream:
                    async for line in stream.aiter_lines():
                        if line.startswith("data:"):
                            heard.append(json.loads(line[5:])["version"])
                            ready.release()
                        if len(heard) == 2:
                            break
                return heard

            listeners = [asyncio.create_task(listen(n)) for n in range(40)]
            for _ in listeners:
                await ready.acquire()
            await client.put("/v1/policies/frontend.catalog", json={"policy": document()})
            heard = await asyncio.gather(*listeners)
        idle.close()
        assert len({tuple(versions) for versions in heard}) == 1
        assert heard[0][1] == heard[0][0] + 1


def test_only_who_registered_speaks_for_a_proxy(tmp_path: Path) -> None:
    """Without the secret that registering gave, and with that of a former registration, nothing is heard; it is shown
    nowhere.
    """
    with running_control(tmp_path) as control:
        proxy = control.register("bound-1", "bound")
        version = proxy.snapshot()["version"]
        right = proxy.secret
        for wrong in ("", right[:-1], "x" * 5000):
            proxy.secret = wrong
            assert (proxy.acknowledge(version)[0], proxy.heartbeat(), proxy.leave()) == (403, 403, 403)
        proxy.secret = right
        assert proxy.heartbeat() == 200
        proxy.register()
        renewed, proxy.secret = proxy.secret, right
        assert proxy.acknowledge(version)[0] == 403
        proxy.secret = renewed
        assert (proxy.acknowledge(version)[0], proxy.leave()) == (200, 204)
        assert right not in str(control.get("/v1/proxies")) + str(control.get("/v1/audit"))
