"""Where one policy sends requests, and what it changes about them: put together when a snapshot arrives. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from meshwise.contracts.policy import Edits, Policy, Redirect, Rewrite
from meshwise.proxy.errors import Redirected
from meshwise.proxy.paths import has_dots, unescaped_path, without_dots

if TYPE_CHECKING:
    from meshwise.proxy.cluster.cluster import Cluster
    from meshwise.proxy.http1.heads import RequestHead, ResponseHead
    from meshwise.proxy.routing import Rule


class HeadEdits:
    """Edits of one kind of head, as bytes."""

    __slots__ = ("fields", "gone")

    def __init__(self, edits: Edits) -> None:
        self.gone = frozenset(name.encode() for name in (*edits.remove, *(name for name, _ in edits.set)))
        self.fields = tuple((name.encode(), value.encode()) for name, value in (*edits.set, *edits.add))

    def apply(self, head: RequestHead | ResponseHead) -> None:
        """Change the fields that are passed on."""
        head.edit(self.gone, self.fields)


class Split:
    """Ways to go, each with its weight. A way without a cluster leads to a service that is not in the mesh."""

    __slots__ = ("_bounds", "_ways")

    def __init__(self, weights: Sequence[int], ways: Sequence[tuple[Cluster, Rule] | None]) -> None:
        self._bounds = list(accumulate(weights))
        self._ways = ways

    def pick(self, draw: float) -> tuple[Cluster, Rule] | None:
        """Return the way for a number drawn from [0, 1)."""
        return self._ways[bisect_right(self._bounds, draw * self._bounds[-1])]


class Steering:
    """What the ``split``, ``mirror``, ``headers``, ``rewrite`` and ``redirect`` of one policy say."""

    __slots__ = ("_literal", "mirror", "redirect", "request", "response", "rewrite", "split")

    def __init__(self, policy: Policy, split: Split | None) -> None:
        headers = policy.headers
        self.request = HeadEdits(headers.request) if headers is not None and headers.request != Edits() else None
        self.response = HeadEdits(headers.response) if headers is not None and headers.response != Edits() else None
        self.mirror = policy.mirror
        self.redirect = policy.redirect
        self.rewrite = policy.rewrite
        self.split = split
        self._literal = (policy.match.route or "").count("/") - 1
        """How many segments ``prefix`` stands for."""

    def rewritten(self, head: RequestHead) -> None:
        """Give a request the target and the authority of ``rewrite``."""
        if self.rewrite is not None:
            authority = self.rewrite.authority
            head.retarget(
                self._path(self.rewrite, head.target), authority.encode() if authority is not None else head.authority
            )

    def redirected(self, head: RequestHead) -> Redirected | None:
        """Return the answer that sends the caller elsewhere, if the policy has one."""
        redirect = self.redirect
        if redirect is None:
            return None
        path = self._path(redirect, head.target).decode("latin-1")
        location = f"http://{redirect.authority}{path}" if redirect.authority is not None else path
        answer = Redirected(f"see {location}")
        answer.status = redirect.status
        answer.location = location
        return answer

    def _path(self, said: Rewrite | Redirect, target: bytes) -> bytes:
        path, mark, query = target.partition(b"?")
        if b"." in path or b"%2" in path:
            # A prefix is found in the form that was compared; dots behind it must not lead out of the new one again.
            plain = unescaped_path(path.decode("ascii"))
            if has_dots(plain):
                path = without_dots(plain).encode("ascii")
        if said.path is not None:
            path = said.path.encode()
        elif said.prefix is not None:
            rest = path.split(b"/")[1 + self._literal :]
            path = said.prefix.encode().rstrip(b"/") + b"/" + b"/".join(rest)
            if not rest:
                path = path.rstrip(b"/") or b"/"
        return path + mark + query


def steers(policy: Policy) -> bool:
    """Tell whether a policy does anything of this."""
    return bool(policy.split or policy.mirror or policy.headers or policy.rewrite or policy.redirect)
