from meshwise.control.presence import Presence


def test_a_note_overrides_what_is_stored_until_it_is_taken() -> None:
    """The newer of the note and the stored time counts; taking the notes forgets them."""
    presence = Presence()
    presence.note("a", 5.0)
    assert presence.latest("a", 3.0) == 5.0
    assert presence.latest("a", 9.0) == 9.0
    assert presence.latest("b", 1.0) == 1.0
    assert presence.take() == {"a": 5.0}
    assert presence.take() == {}
    assert presence.latest("a", 3.0) == 3.0
