"""Mesh: the proxies, whether each lives, and whether it runs what control last gave it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dash import Dash, html
from dash.development.base_component import Component

from meshwise.dashboard.components import text
from meshwise.dashboard.components.blocks import badge, card, figure_card, table
from meshwise.dashboard.control import Control, ProxyView
from meshwise.dashboard.page import Page, digests, live
from meshwise.dashboard.queries import Queries


class Ids:
    """Ids of this page's parts."""

    NUMBERS = "mesh-numbers"
    PROXIES = "mesh-proxies"


def layout() -> Component:
    """Return the empty page."""
    return html.Div(
        [
            html.H1("Mesh"),
            *digests(Ids.NUMBERS, Ids.PROXIES),
            html.Div(id=Ids.NUMBERS, className="figure-row"),
            card("Proxies", html.Div(id=Ids.PROXIES), class_name="wide"),
        ]
    )


def render_numbers(proxies: Sequence[ProxyView]) -> list[Component]:
    """Return how many live, how many services they stand beside, and what stands in the way of being one mesh."""
    living = [proxy for proxy in proxies if proxy.alive]
    silent = len(proxies) - len(living)
    behind = sum(proxy.status != "applied" for proxy in living)
    plain = sum(proxy.tls != "strict" for proxy in living)
    return [
        figure_card("proxies", text.count(len(living)), f"beside {len({proxy.service for proxy in living})} services"),
        figure_card("silent", text.count(silent), "not heard of", "bad" if silent else "good"),
        figure_card("not up to date", text.count(behind), "on an older snapshot", "warn" if behind else "good"),
        figure_card("versions", text.count(len({proxy.version for proxy in living})), "of meshwise"),
        figure_card("without strict TLS", text.count(plain), "take plain connections too", "warn" if plain else "good"),
    ]


def render_proxies(proxies: Sequence[ProxyView]) -> Component:
    """Return a row per proxy, those that need a look first: rejected, silent, waiting, and then by service."""
    apart = _apart(proxies)
    rows = [
        [
            text.label(proxy.service, 30),
            text.label(proxy.id, 40),
            _state(proxy),
            text.label(proxy.address, 40) or text.NOTHING,
            text.label(proxy.zone, 20) or text.NOTHING,
            badge(text.label(proxy.tls, 12), "good" if proxy.tls == "strict" else ""),
            text.label(proxy.version, 20),
            text.count(proxy.snapshot_version),
            _versions(proxy, apart[proxy.service]),
            text.label(proxy.last_seen, 20),
        ]
        for proxy in sorted(proxies, key=lambda proxy: (_urgency(proxy), proxy.service, proxy.id))
    ]
    head = [
        "service",
        "proxy",
        "state",
        "address",
        "zone",
        "TLS",
        "version",
        "snapshot",
        "policies that differ",
        "heard of",
    ]
    return table("Proxies", head, rows, numeric=(7,))


def _apart(proxies: Sequence[ProxyView]) -> dict[str, set[str]]:
    """Return, by service, the policies of which its living proxies run different versions: a rollout, or one behind."""
    versions: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for proxy in proxies:
        if proxy.alive:
            for name, version in proxy.policies.items():
                versions[proxy.service][name].add(version)
    apart: dict[str, set[str]] = defaultdict(set)
    for service, policies in versions.items():
        apart[service] = {name for name, known in policies.items() if len(known) > 1}
    return apart


def _versions(proxy: ProxyView, names: set[str]) -> str:
    known = [text.label(f"{name} v{proxy.policies[name]}") for name in sorted(names) if name in proxy.policies]
    return ", ".join(known) or text.NOTHING


def _urgency(proxy: ProxyView) -> int:
    return (0 if proxy.status == "rejected" else 2 if proxy.status != "applied" else 3) if proxy.alive else 1


def _state(proxy: ProxyView) -> Component:
    if not proxy.alive:
        return badge("silent", "bad")
    if proxy.status == "rejected":
        return html.Div([badge("rejected", "bad"), html.Div(text.label(proxy.reason, 160), className="note")])
    return badge("up to date", "good") if proxy.status == "applied" else badge("waiting", "warn")


def register(app: Dash, queries: Queries, control: Control) -> None:
    """Connect the parts to control."""
    del queries  # control knows the proxies
    live(app, Ids.NUMBERS, "children", lambda _: render_numbers(control.proxies()))
    live(app, Ids.PROXIES, "children", lambda _: render_proxies(control.proxies()))


PAGE = Page("/mesh", "Mesh", layout, register)
