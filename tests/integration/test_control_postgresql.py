"""Several replicas of control on one PostgreSQL, real processes all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.control import Control, eventually, running_control
from support.postgresql import PostgreSQL, binaries, running_postgresql

PROGRAMS = binaries()
pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed: apt-get install postgresql")


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    assert PROGRAMS is not None
    with running_postgresql(PROGRAMS) as server:
        yield server


@pytest.fixture
def replicas(database: PostgreSQL, tmp_path: Path) -> Iterator[tuple[Control, Control]]:
    """Two replicas, started at the same moment on an empty database."""
    url = database.new_database()
    with ExitStack() as stack, ThreadPoolExecutor() as threads:

        def begin(name: str) -> Control:
            settings = {"database_url": url, "tick_s": 0.1, "ttl_s": 2.5}
            return stack.enter_context(running_control(tmp_path / name, **settings))

        first, second = threads.map(begin, ("one", "two"))
        yield first, second


def document(request: str, service: str = "catalog") -> dict[str, Any]:
    return {"match": {"source": "frontend", "service": service}, "timeout": {"request": request}}


def test_a_rollout_goes_on_at_whichever_replica_is_asked(replicas: tuple[Control, Control]) -> None:
    """Proxies register with one, the rollout begins at the other, and either may be told the verdict."""
    here, there = replicas
    proxies = {f"frontend-{n}": here.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(4)}
    assert there.put_policy(document("1s"))[0] == 200
    for proxy in proxies.values():
        proxy.apply()
    status, rollout = there.begin_rollout(document("2s"))
    assert status == 201
    (canary,) = rollout["canary_proxies"]
    assert proxies[canary].apply()["policies"][0]["timeout"]["request"] == "2s"
    verdict = {"decision": "advance", "stage": 0, "reason": "measured", "evidence": {}}
    assert here.post(f"/v1/rollouts/{rollout['id']}/verdicts", verdict, actor="analytics")["state"] == "promoted"
    assert there.get(f"/v1/rollouts/{rollout['id']}")["state"] == "promoted"


def test_a_change_at_one_replica_reaches_the_streams_of_the_other(replicas: tuple[Control, Control]) -> None:
    """A proxy's stream is told the new revision within a tick."""
    here, there = replicas
    proxy = here.register("frontend-0", "frontend")
    with here.client.stream("GET", f"/v1/proxies/{proxy.id}/events", timeout=10.0) as stream:
        lines = stream.iter_lines()
        assert there.put_policy(document("3s"))[0] == 200
        wanted = there.get(f"/v1/proxies/{proxy.id}/snapshot")["version"]
        told = next(line for line in lines if str(wanted) in line)
    assert told
    assert proxy.snapshot()["policies"][0]["timeout"]["request"] == "3s"


def test_a_proxy_that_speaks_to_one_replica_lives_for_all(replicas: tuple[Control, Control]) -> None:
    """Signs of life heard by one keep the proxy in the other's snapshots, past the time after which silence counts."""
    here, there = replicas
    proxy = here.register("catalog-0", "catalog")
    silent = here.register("catalog-1", "catalog", port=9001)

    def others() -> set[str]:
        assert proxy.heartbeat() == 200
        return {p["id"] for p in there.get("/v1/proxies")["proxies"] if p["alive"]}

    eventually(lambda: others() == {proxy.id})
    assert silent.heartbeat() == 404


def test_writers_at_both_replicas_come_one_by_one(replicas: tuple[Control, Control]) -> None:
    """Forty changes at once: none is lost, and no version or revision number is given out twice."""
    proxy = replicas[0].register("frontend-0", "frontend")
    before = proxy.snapshot()["version"]

    def put(n: int) -> tuple[int, int]:
        status, answer = replicas[n % 2].put_policy(document(f"{n + 1}s", f"service-{n % 5}"))
        return status, answer["policy"]["version"]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(put, range(40)))
    assert {status for status, _ in answers} == {200}
    assert sorted(version for _, version in answers) == sorted(list(range(1, 9)) * 5)
    assert proxy.snapshot()["version"] == before + 40


def test_a_database_that_went_away_is_said_and_used_again(
    database: PostgreSQL, replicas: tuple[Control, Control]
) -> None:
    """While it is gone control answers 503 and lives; afterwards it goes on with what was committed."""
    control = replicas[0]
    assert control.put_policy(document("1s"))[0] == 200
    database.stop()
    status, problem = control.put_policy(document("2s"))
    assert (status, "Traceback" in str(problem)) == (503, False)
    database.start()
    (held,) = eventually(lambda: control.call("GET", "/v1/policies")[1].get("policies"))
    assert held["policy"]["timeout"]["request"] == "1s"
    assert eventually(lambda: control.put_policy(document("2s"))[0] == 200)
