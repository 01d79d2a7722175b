"""Rollouts against a real control process, with proxies that only speak its protocol."""

from pathlib import Path
from typing import Any

from support.control import Control, FakeProxy, eventually, running_control


def document(request: str = "1s", service: str = "catalog") -> dict[str, Any]:
    return {"match": {"source": "frontend", "service": service}, "timeout": {"request": request}}


def fleet(control: Control) -> dict[str, FakeProxy]:
    proxies = {f"frontend-{n}": control.register(f"frontend-{n}", "frontend", port=9000 + n) for n in range(4)}
    control.put_policy(document())
    for proxy in proxies.values():
        proxy.apply()
    return proxies


def requests_in_force(proxies: dict[str, FakeProxy]) -> dict[str, str]:
    return {name: proxy.snapshot()["policies"][0]["timeout"]["request"] for name, proxy in proxies.items()}


def verdict(control: Control, rollout: Any, decision: str, stage: int = 0) -> tuple[int, Any]:
    body = {"decision": decision, "stage": stage, "reason": "measured", "evidence": {"requests": 300}}
    return control.call("POST", f"/v1/rollouts/{rollout['id']}/verdicts", body, actor="analytics")


def test_the_life_of_a_rollout_to_promotion(tmp_path: Path) -> None:
    """One canary carries the candidate, the stage starts when it applied it, and advance puts it everywhere."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        status, rollout = control.begin_rollout(document("2s"), proposal_id="p-1", evidence={"curve": [1, 2]})
        assert (status, rollout["state"], rollout["stage_started_at"]) == (201, "canary", None)
        (canary,) = rollout["canary_proxies"]
        assert sorted([canary, *rollout["control_proxies"]]) == sorted(proxies)
        assert requests_in_force(proxies) == {name: "2s" if name == canary else "1s" for name in proxies}
        assert verdict(control, rollout, "advance")[0] == 409
        snapshot = proxies[canary].apply()
        assert snapshot["policies"][0]["version"] == rollout["policy"]["version"] == 2
        assert control.get(f"/v1/rollouts/{rollout['id']}")["stage_started_at"] is not None
        assert verdict(control, rollout, "hold")[1]["state"] == "canary"
        assert verdict(control, rollout, "advance", stage=1)[0] == 409
        assert [r["id"] for r in control.get("/v1/rollouts?state=canary")["rollouts"]] == [rollout["id"]]
        done = verdict(control, rollout, "advance")[1]
        assert (done["state"], [v["decision"] for v in done["verdicts"]]) == ("promoted", ["hold", "advance"])
        assert set(requests_in_force(proxies).values()) == {"2s"}
        (held,) = control.get("/v1/policies")["policies"]
        assert (held["policy"]["version"], held["evidence"]) == (2, {"curve": [1, 2]})


def test_a_verdict_rolls_back_and_the_number_is_not_used_again(tmp_path: Path) -> None:
    """After a rollback every proxy has the baseline, and the next candidate has a new number."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        rollout = control.begin_rollout(document("5ms"))[1]
        assert verdict(control, rollout, "rollback")[1]["state"] == "rolled_back"
        assert set(requests_in_force(proxies).values()) == {"1s"}
        assert control.begin_rollout(document("2s"))[1]["policy"]["version"] == 3


def test_a_rejection_by_a_canary_rolls_back_at_once(tmp_path: Path) -> None:
    """The proxy's reason ends the rollout and is kept."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        rollout = control.begin_rollout(document("2s"))[1]
        canary = proxies[rollout["canary_proxies"][0]]
        canary.acknowledge(canary.snapshot()["version"], "rejected", "timeout too odd")
        ended = control.get(f"/v1/rollouts/{rollout['id']}")
        assert ended["state"] == "rolled_back"
        assert "timeout too odd" in ended["verdicts"][-1]["reason"]
        assert set(requests_in_force(proxies).values()) == {"1s"}


def test_silence_rolls_back_at_the_deadline(tmp_path: Path) -> None:
    """Nobody decides, control does, and says that it did."""
    with running_control(tmp_path, tick_s=0.05) as control:
        proxies = fleet(control)
        rollout = control.begin_rollout(document("2s"), max_duration_s=1.0)[1]
        path = f"/v1/rollouts/{rollout['id']}"
        ended = eventually(lambda: (r := control.get(path))["state"] == "rolled_back" and r)
        assert ended["verdicts"][-1]["by"] == "control"
        assert set(requests_in_force(proxies).values()) == {"1s"}
        assert any(e["action"] == "rollout.rollback" for e in control.get("/v1/audit")["entries"])


def test_the_loss_of_every_canary_rolls_back(tmp_path: Path) -> None:
    """A canary that drains away takes the experiment with it when it was the last."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        rollout = control.begin_rollout(document("2s"))[1]
        assert proxies[rollout["canary_proxies"][0]].leave() == 204
        assert control.get(f"/v1/rollouts/{rollout['id']}")["state"] == "rolled_back"


def test_an_operator_starts_and_promotes_by_hand(tmp_path: Path) -> None:
    """In approval mode nothing happens before the first yes, and the second promotes."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        rollout = control.begin_rollout(document("2s"), mode="approval")[1]
        path = f"/v1/rollouts/{rollout['id']}"
        assert (rollout["state"], rollout["canary_proxies"]) == ("awaiting_approval", [])
        assert set(requests_in_force(proxies).values()) == {"1s"}
        approved = control.post(f"{path}/approve", {"reason": "go"}, actor="ann")
        assert (approved["state"], len(approved["canary_proxies"])) == ("canary", 1)
        assert control.post(f"{path}/approve", {"reason": "all"}, actor="ann")["state"] == "promoted"
        assert set(requests_in_force(proxies).values()) == {"2s"}
        assert control.call("POST", f"{path}/rollback", {"reason": "late"})[0] == 409


def test_one_change_per_service_at_a_time_and_none_while_frozen(tmp_path: Path) -> None:
    """A second rollout or a put to the same service conflicts; a freeze stops both but not the way back."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        rollout = control.begin_rollout(document("2s"))[1]
        assert control.begin_rollout({**document("3s"), "name": "other"})[0] == 409
        assert control.put_policy(document("3s"))[0] == 409
        assert control.put_policy(document("3s", "cart"))[0] == 200
        control.post("/v1/freeze", {"frozen": True, "reason": "incident"})
        assert control.begin_rollout(document("2s", "shipping"))[0] == 409
        assert control.put_policy(document("3s", "cart"))[0] == 409
        assert control.post(f"/v1/rollouts/{rollout['id']}/rollback", {"reason": "stop"})["state"] == "rolled_back"
        assert control.call("POST", "/v1/policies/frontend.catalog/undo", {"reason": "stop"})[0] == 200
        assert {p["name"] for p in proxies["frontend-0"].snapshot()["policies"]} == {"frontend.cart"}


def test_by_default_a_few_percent_of_the_requests_go_first(tmp_path: Path) -> None:
    """After the shadow, a share of one proxy's requests, then more of them, then half of the proxies, then all."""
    with running_control(tmp_path) as control:
        proxies = fleet(control)
        body = {"policy": document("2s"), "reason": "test"}
        rollout = control.call("POST", "/v1/rollouts", body)[1]
        assert (rollout["state"], rollout["stages"], rollout["canary_proxies"]) == ("shadow", [4, 20, 50, 100], [])
        shadowed = {p.snapshot()["policies"][0]["shadow"]["version"] for p in proxies.values()}
        assert shadowed == {rollout["policy"]["version"]}
        judged = {"decision": "advance", "stage": 0, "reason": "fit", "evidence": {}, "shadow": True}
        first = control.post(f"/v1/rollouts/{rollout['id']}/verdicts", judged)
        assert (first["state"], len(first["canary_proxies"]), first["canary_percent"]) == ("canary", 1, 16.0)
        told = proxies[first["canary_proxies"][0]].apply()["policies"]
        assert [(p["version"], p["match"].get("percent")) for p in told] == [(1, None), (2, 16.0)]
        second = verdict(control, rollout, "advance")[1]
        assert (second["stage"], second["canary_proxies"], second["canary_percent"]) == (
            1,
            first["canary_proxies"],
            80.0,
        )
        proxies[second["canary_proxies"][0]].apply()
        third = verdict(control, rollout, "advance", stage=1)[1]
        assert (third["stage"], len(third["canary_proxies"]), third["canary_percent"]) == (2, 2, 100.0)
        for one in third["canary_proxies"]:
            proxies[one].apply()
        assert verdict(control, rollout, "advance", stage=2)[1]["state"] == "promoted"


def test_an_impossible_chain_and_a_rollout_without_a_proxy_are_refused(tmp_path: Path) -> None:
    """A callee that outlasts its caller is 422 with both names; a canary where there is no proxy is 409."""
    with running_control(tmp_path) as control:
        control.register("frontend-0", "frontend")
        control.put_policy(document("1s"))
        status, answer = control.put_policy(
            {"match": {"source": "catalog", "service": "inventory"}, "timeout": {"request": "5s"}}
        )
        assert (status, answer["error"]["path"]) == (422, "timeout.request")
        assert "catalog.inventory" in answer["error"]["problem"]
        assert control.begin_rollout(document("2s"))[1]["canary_percent"] == 25.0
        other = {"match": {"source": "cart", "service": "stock"}}
        assert control.begin_rollout(other)[0] == 409
