"""Fuzz targets, briefly: by hand they run for hours (``PYTHONPATH=tests python -m fuzz``)."""

import random

import pytest

from fuzz.__main__ import kept
from fuzz.mutations import mutated
from fuzz.targets import LIMITS, TARGETS, Heard
from meshwise.proxy.client_hello import server_name
from meshwise.proxy.http1.readers import RequestReader


@pytest.mark.parametrize("name", TARGETS)
def test_every_promise_holds(name: str) -> None:
    """Seeds, what broke a promise once, and a thousand mutations of them keep every promise of the target."""
    target, rng = TARGETS[name], random.Random(1)
    known = [*target.seeds, *kept(name)]
    for data in known:
        for how in range(4):
            target.check(data, how)
    for number in range(1000):
        target.check(mutated(rng, known, target.words), number % 7)


def test_a_seed_is_a_good_input() -> None:
    """Seeds reach far into what is read: a target whose seeds were all refused at once would test nothing."""
    heard = Heard()
    heard.reader = RequestReader(heard, LIMITS)
    for seed in TARGETS["http1-request"].seeds[:3]:
        heard.reader.feed(seed)
    assert heard.said.count("end") == 4
    assert server_name(TARGETS["client-hello"].seeds[0]) == "catalog.foo"
