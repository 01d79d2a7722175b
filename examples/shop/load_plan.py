"""When requests are meant to start and what they are: the whole plan follows from a seed, never from the answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["home", "product", "show_cart", "add_to_cart", "checkout"]

MIX: tuple[tuple[Kind, int], ...] = (
    ("home", 76),
    ("product", 9),
    ("add_to_cart", 7),
    ("show_cart", 4),
    ("checkout", 4),
)
"""Kinds of requests and their weights."""

CUSTOMERS = 200
PRODUCTS = 20


@dataclass(frozen=True, slots=True)
class Shot:
    """One planned request: it starts ``at`` seconds after the beginning, whatever happened to those before it."""

    number: int
    at: float
    kind: Kind
    method: str
    path: str
    body: dict[str, str] | None
    idempotency_key: str | None


def plan(rate: float, seed: int) -> Iterator[Shot]:
    """Yield an endless plan of Poisson arrivals, ``rate`` a second on average.

    Raises:
        ValueError: ``rate`` is not above zero.
    """
    if rate <= 0:
        raise ValueError("rate must be above zero")
    dice = random.Random(seed)
    kinds, weights = [kind for kind, _ in MIX], [weight for _, weight in MIX]
    at = 0.0
    number = 0
    while True:
        at += dice.expovariate(rate)
        number += 1
        (kind,) = dice.choices(kinds, weights)
        user, product = f"u{dice.randrange(CUSTOMERS)}", f"p{dice.randrange(PRODUCTS)}"
        key = f"{dice.getrandbits(128):032x}" if kind == "checkout" else None
        yield _shot(number, at, kind, user=user, product=product, key=key)


def _shot(number: int, at: float, kind: Kind, *, user: str, product: str, key: str | None) -> Shot:
    order = {"user": user, "product": product}
    match kind:
        case "home":
            return Shot(number, at, kind, "GET", f"/?user={user}", None, None)
        case "product":
            return Shot(number, at, kind, "GET", f"/products/{product}", None, None)
        case "show_cart":
            return Shot(number, at, kind, "GET", f"/cart?user={user}", None, None)
        case "add_to_cart":
            return Shot(number, at, kind, "POST", "/cart", order, None)
        case "checkout":
            return Shot(number, at, kind, "POST", "/checkout", order, key)
