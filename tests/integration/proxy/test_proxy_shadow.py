"""A candidate policy beside the one in force, in a real proxy: judged on every attempt, never enforced."""

import asyncio
from typing import Any

from meshwise.proxy.telemetry.records import ShadowVerdict
from support.data_path import OK, Arrival, Upstream, client, outbound, say

BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


def policy(shadow: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A policy in force that retries nothing, with a candidate beside it."""
    retry = {"max": 0, "backoff": {"base": "0ms", "max": "0ms"}, **sections.pop("retry", {})}
    return {"match": {"service": "catalog"}, "version": 3, "retry": retry, "shadow": shadow, **sections}


async def slow(_: Arrival, writer: asyncio.StreamWriter) -> None:
    """Answer after 150 ms."""
    await asyncio.sleep(0.15)
    writer.write(OK)


async def test_a_slow_answer_is_forwarded_and_judged() -> None:
    """An attempt that the candidate would have cut off and repeated is neither cut off nor repeated."""
    rule = policy(
        {
            "timeout": {"request": "1s", "attempt": "50ms"},
            "retry": {"max": 1, "on": {"timeout": True}},
            "version": 8,
        }
    )
    async with Upstream(slow) as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 200
        (record,) = mesh.recorder.attempts
        assert record.shadow == ShadowVerdict(8, "attempt", retry="timeout")
        assert (record.outcome, record.final, record.policy_version) == ("ok", True, 3)
        assert len(app.arrivals) == 1


async def test_an_answer_in_time_is_kept_whatever_its_body_takes() -> None:
    """The beginning of the answer counts for the attempt timeout, and a fast one is no time-out."""
    async with (
        Upstream() as app,
        outbound({"catalog": [app]}, policy({"timeout": {"request": "1s", "attempt": "500ms"}})) as mesh,
    ):
        assert (await mesh.request("GET", "catalog")).status == 200
        assert mesh.recorder.attempts[0].shadow == ShadowVerdict(0)


async def test_a_failure_would_have_been_retried_or_denied() -> None:
    """A 503 is passed on; for a GET the candidate would have tried again, a POST it would have been denied."""
    rule = policy({"retry": {"max": 1, "on": {"codes": [503]}}, "version": 8})
    async with Upstream(say(BUSY)) as app, outbound({"catalog": [app]}, rule) as mesh, client(mesh.port) as one:
        assert (await one.request("GET", "catalog")).status == 503
        assert (await one.request("POST", "catalog", body=b"pay")).status == 503
        assert [record.shadow for record in mesh.recorder.attempts] == [
            ShadowVerdict(8, retry="503"),
            ShadowVerdict(8, denied="method"),
        ]
        assert len(app.arrivals) == 2


async def test_a_retry_that_the_candidate_would_not_make_is_told() -> None:
    """The policy in force retries, the candidate would not: the second attempt says so."""
    rule = policy({"retry": {"max": 0}}, retry={"max": 1, "on": {"codes": [503]}})
    async with Upstream(say(BUSY, OK)) as app, outbound({"catalog": [app]}, rule) as mesh:
        assert (await mesh.request("GET", "catalog")).status == 200
        assert [record.shadow for record in mesh.recorder.attempts] == [
            ShadowVerdict(0),
            ShadowVerdict(0, skipped=True),
        ]


async def test_without_a_candidate_nothing_is_judged() -> None:
    """A policy without a shadow leaves no verdict."""
    async with Upstream() as app, outbound({"catalog": [app]}) as mesh:
        await mesh.request("GET", "catalog")
        assert mesh.recorder.attempts[0].shadow is None
