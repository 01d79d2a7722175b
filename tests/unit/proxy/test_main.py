import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from meshwise.contracts.policy import Match, Policy, Timeout
from meshwise.contracts.snapshot import Snapshot, Trial
from meshwise.proxy.main import _Many, _Part, _Single
from meshwise.proxy.proxy import load_snapshot_file
from meshwise.proxy.settings import ProxySettings

APPROVED = Policy("p", Match("catalog"), Timeout(1.0), version=1)
SETTLED = Snapshot(7, "frontend", {}, (APPROVED,))
TRIED = replace(
    SETTLED,
    policies=(replace(APPROVED, timeout=Timeout(9.0), version=2),),
    trial=Trial(30.0, ("p",), (APPROVED,)),
)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_successor_is_handed_what_was_approved(workers: int) -> None:
    """What is on trial it must hear from control."""
    settings = ProxySettings(service="frontend", workers=workers)
    part: _Part = (
        _Single(settings, "frontend-1", asyncio.Event())
        if workers == 1
        else _Many(settings, {}, "frontend-1", asyncio.Event())
    )
    assert part.snapshot() is None
    part.path.apply(TRIED)
    assert part.path.policies_in_force() == {"p": 2}
    assert part.snapshot() == SETTLED.to_document()


def test_a_snapshot_file_has_no_trial(tmp_path: Path) -> None:
    """Nobody would ever end it."""
    file = tmp_path / "snapshot.json"
    file.write_bytes(orjson.dumps(TRIED.to_document()))
    assert load_snapshot_file(ProxySettings(service="frontend", snapshot_file=file)) == SETTLED
