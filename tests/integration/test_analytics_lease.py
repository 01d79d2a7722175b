"""The lease of analytics processes over a real store."""

from __future__ import annotations

from meshwise.analytics.lease import Lease
from meshwise.store.client import connect
from support.store import running_store


def test_one_of_two_leads() -> None:
    """Of two processes over one store one leads, until it says that it is gone; then the other does at once."""
    with running_store() as store, connect(store.url) as one, connect(store.url) as other:
        first, second = Lease(one, 10.0, "first"), Lease(other, 10.0, "second")
        assert (first.renew(), second.renew()) == (False, False)
        assert (first.renew(), second.renew()) == (True, False)
        first.release()
        assert second.renew()
        assert (first.renew(), second.renew()) == (False, True)
        assert (first.renew(), second.renew()) == (False, True)
