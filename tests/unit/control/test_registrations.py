from typing import Any

import pytest

from meshwise.contracts.errors import DocumentError
from meshwise.control import registrations as reg
from meshwise.control.errors import ConflictError, ForbiddenError, NotFoundError
from meshwise.control.presence import Presence
from meshwise.control.storage import Storage

GOOD = {"id": "a-1", "service": "a", "host": "10.0.0.1", "port": 9000, "admin_port": 15000, "version": "1"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": None}, "id"),
        ({"id": "A"}, "id"),
        ({"id": "a/../b"}, "id"),
        ({"id": "a" * 129}, "id"),
        ({"service": "*"}, "service"),
        ({"host": "a b"}, "host"),
        ({"host": ""}, "host"),
        ({"port": None}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "80"}, "port"),
        ({"zone": 7}, "zone"),
        ({"weight": 0}, "weight"),
        ({"weight": 101}, "weight"),
        ({"priority": 16}, "priority"),
        ({"labels": {"version": 2}}, "labels.version"),
        ({"labels": {"a b": "2"}}, "labels.a b"),
    ],
)
def test_a_wrong_registration_names_its_field(changes: dict[str, Any], path: str) -> None:
    """The path of the field that is wrong or missing is in the error."""
    with pytest.raises(DocumentError) as raised:
        reg.read_registration({**GOOD, **changes}, 0.0)
    assert raised.value.path == path


def test_optional_and_unknown_fields_of_a_registration_may_be_there_or_not() -> None:
    """A newer proxy may say more, an older one less."""
    record = reg.read_registration({"id": "a", "service": "a", "host": "::1", "port": 0, "zone": "", "later": 1}, 5.0)
    assert (record.zone, record.version, record.admin_port, record.last_seen) == ("", "", 0, 5.0)


def test_wrong_heartbeats_and_answers_name_their_field() -> None:
    """Bodies of a proxy are checked like any other."""
    for read, body, path in (
        (reg.read_heartbeat, {"snapshot_version": -1}, "snapshot_version"),
        (reg.read_heartbeat, {"policies": {"p": "x"}}, "policies.p"),
        (reg.read_answer, {"status": "applied"}, "version"),
        (reg.read_answer, {"version": 1}, "status"),
        (reg.read_answer, {"version": 1, "status": "fine"}, "status"),
    ):
        with pytest.raises(DocumentError) as raised:
            read(body)
        assert raised.value.path == path


def test_registering_the_same_again_is_no_change(storage: Storage) -> None:
    """Only a new or other endpoint raises the revision; a restarted proxy begins anew all the same."""
    with storage.write() as tx:
        speaker = reg.Speaker("a-1", reg.register(tx, reg.read_registration(GOOD, 1.0), 9))
        reg.answer(tx, speaker, reg.Answer(1, "applied", ""), 1.0)
        before = tx.revision
    with storage.write() as tx:
        reg.register(tx, reg.read_registration(GOOD, 2.0), 9)
        proxy = tx.proxy("a-1")
        assert proxy is not None
        assert (tx.revision, proxy.status, proxy.snapshot_version) == (before, "pending", 0)
    with storage.write() as tx:
        reg.register(tx, reg.read_registration({**GOOD, "port": 9001}, 3.0), 9)
        assert tx.revision == before + 1
    placed = {**GOOD, "port": 9001, "weight": 5, "priority": 1, "labels": {"version": "2", "arch": "arm"}}
    with storage.write() as tx:
        reg.register(tx, reg.read_registration(placed, 4.0), 9)
        assert tx.revision == before + 2
    with storage.write() as tx:
        reg.register(tx, reg.read_registration(placed, 5.0), 9)
        assert tx.revision == before + 2
        proxy = tx.proxy("a-1")
        assert proxy is not None
        assert (proxy.seen.weight, proxy.seen.priority) == (5, 1)
        assert proxy.seen.labels == (("arch", "arm"), ("version", "2"))


def test_the_registry_is_bounded_and_the_dead_make_room(storage: Storage) -> None:
    """A full registry refuses newcomers unless somebody in it is dead."""
    with storage.write() as tx:
        for n in (1, 2):
            reg.register(tx, reg.read_registration({**GOOD, "id": f"a-{n}"}, float(n)), 2)
        with pytest.raises(ConflictError, match="registry is full"):
            reg.register(tx, reg.read_registration({**GOOD, "id": "a-3"}, 3.0), 2)
        assert reg.expire(tx, Presence(), 12.0, ttl_s=10.5, forget_s=99.0, listening_since=0.0) == ["a-1"]
        reg.register(tx, reg.read_registration({**GOOD, "id": "a-3"}, 12.0), 2)
        assert [p.id for p in tx.proxies()] == ["a-2", "a-3"]


def test_a_heartbeat_without_news_is_only_noted(storage: Storage) -> None:
    """Presence alone keeps a proxy alive; news asks to be written down, and stands in for a lost answer."""
    presence = Presence()
    with storage.write() as tx:
        speaker = reg.Speaker("a-1", reg.register(tx, reg.read_registration(GOOD, 0.0), 9))
    with storage.read() as reading:
        assert reg.hear(reading, presence, speaker, reg.Heartbeat(0, {}), 50.0) is False
        assert reg.hear(reading, presence, speaker, reg.Heartbeat(2, {"p": 1}), 50.0) is True
        with pytest.raises(NotFoundError):
            reg.hear(reading, presence, reg.Speaker("nobody"), reg.Heartbeat(0, {}), 50.0)
    with storage.write() as tx:
        reg.take_in(tx, "a-1", reg.Heartbeat(2, {"p": 1}), 50.0)
        assert reg.expire(tx, presence, 55.0, ttl_s=10.0, forget_s=99.0, listening_since=0.0) == []
        proxy = tx.proxy("a-1")
        assert proxy is not None
        assert (proxy.snapshot_version, proxy.status, proxy.policies) == (2, "applied", {"p": 1})


def test_answers_out_of_order_or_to_nothing_do_not_count(storage: Storage) -> None:
    """An old answer is ignored, one to a snapshot that was never made is refused."""
    with storage.write() as tx:
        speaker = reg.Speaker("a-1", reg.register(tx, reg.read_registration(GOOD, 0.0), 9))
        reg.answer(tx, speaker, reg.Answer(2, "applied", ""), 1.0)
        reg.answer(tx, speaker, reg.Answer(1, "rejected", "late"), 1.0)
        proxy = tx.proxy("a-1")
        assert proxy is not None
        assert proxy.status == "applied"
        with pytest.raises(ConflictError, match="no snapshot of this mesh"):
            reg.answer(tx, speaker, reg.Answer(99, "applied", ""), 1.0)


def test_nobody_else_speaks_for_a_proxy(storage: Storage) -> None:
    """Without the secret of the registration, with that of the one before, or with a certificate of another service
    nothing is heard; what was registered before secrets were given out must register again.
    """
    presence, beat, said = Presence(), reg.Heartbeat(2, {"p": 9}), reg.Answer(1, "applied", "")
    with storage.write() as tx:
        old = reg.register(tx, reg.read_registration(GOOD, 0.0), 9)
        new = reg.register(tx, reg.read_registration(GOOD, 1.0), 9)
        tx.save_proxy(reg.read_registration({**GOOD, "id": "a-2"}, 1.0))
    strangers = (
        reg.Speaker("a-1"),
        reg.Speaker("a-1", old),
        reg.Speaker("a-1", new, "another"),
        reg.Speaker("a-2"),
        reg.Speaker("a-2", new),
    )
    for stranger in strangers:
        with storage.write() as tx:
            for say in (
                lambda tx=tx, who=stranger: reg.hear(tx, presence, who, beat, 2.0),
                lambda tx=tx, who=stranger: reg.answer(tx, who, said, 2.0),
                lambda tx=tx, who=stranger: reg.leave(tx, who, 2.0),
            ):
                with pytest.raises(ForbiddenError):
                    say()
    with storage.write() as tx:
        for known in (reg.Speaker("a-1", new), reg.Speaker("a-1", new, "a")):
            assert reg.hear(tx, presence, known, beat, 2.0)
        reg.answer(tx, reg.Speaker("a-1", new), said, 2.0)
        reg.leave(tx, reg.Speaker("a-1", new), 2.0)
        assert [proxy.id for proxy in tx.proxies()] == ["a-2"]
