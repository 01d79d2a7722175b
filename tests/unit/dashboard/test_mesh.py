from __future__ import annotations

from typing import Any

from meshwise.dashboard.control import ProxyView
from meshwise.dashboard.pages.mesh import render_numbers, render_proxies
from support.findings import HOSTILE


def _proxy(name: str, service: str = "cart", **others: Any) -> ProxyView:
    fields: dict[str, Any] = {
        "alive": True,
        "status": "applied",
        "snapshot_version": 7,
        "policies": {},
        "tls": "strict",
    } | others
    return ProxyView(name, service, **fields)


def test_the_numbers_count_what_keeps_the_proxies_from_being_one_mesh() -> None:
    """Living, silent, behind and without strict TLS are counted apart; a silent one is none of the others."""
    proxies = [_proxy("a"), _proxy("b", tls="off"), _proxy("c", "shop", status="pending"), _proxy("d", alive=False)]
    values = [card.children[1].children for card in render_numbers(proxies)]
    assert values == ["3", "1", "1", "1", "1"]
    assert "beside 2 services" in str(render_numbers(proxies))


def test_proxies_that_need_a_look_come_first() -> None:
    """A rejected snapshot with its reason, then the silent, then those that wait, then the rest by service."""
    proxies = [
        _proxy("fine"),
        _proxy("waits", status="pending"),
        _proxy("gone", alive=False),
        _proxy("refuses", status="rejected", reason="unknown field retries.max"),
    ]
    shown = str(render_proxies(proxies))
    order = [shown.index(name) for name in ("refuses", "unknown field retries.max", "gone", "waits", "fine")]
    assert order == sorted(order)


def test_a_policy_shows_where_the_proxies_of_a_service_differ() -> None:
    """During a rollout the version of each is told; what all have alike, and what the dead have, is not."""
    proxies = [
        _proxy("a", policies={"tried": 2, "settled": 5}),
        _proxy("b", policies={"tried": 1, "settled": 5}),
        _proxy("c", alive=False, policies={"settled": 4}),
    ]
    shown = str(render_proxies(proxies))
    assert "tried v2" in shown
    assert "tried v1" in shown
    assert "settled" not in shown


def test_what_a_proxy_says_of_itself_is_text() -> None:
    """Markup in a name stays a plain string."""
    assert HOSTILE in str(render_proxies([_proxy(HOSTILE)]))
