from meshwise.contracts.snapshot import Trial
from meshwise.proxy.trial_watch import TrialWatch

TRIAL = Trial(30.0, ("frontend.catalog",), ())


def obeying(now: float = 100.0) -> TrialWatch:
    watch = TrialWatch()
    watch.begin(TRIAL, now)
    return watch


def test_without_a_trial_nothing_ends_and_nobody_is_asked() -> None:
    """Silence of any length changes nothing where nothing is on trial."""
    watch = TrialWatch()
    for trial in (None, None):
        assert (watch.on_trial, watch.left_s(1e9), watch.wants_word(1e9)) == (False, None, False)
        watch.begin(trial, 100.0)


def test_a_trial_ends_after_its_patience() -> None:
    """To the moment, and then nothing is left to end."""
    watch = obeying()
    assert watch.on_trial
    assert watch.left_s(100.0) == 30.0
    assert watch.left_s(129.5) == 0.5
    assert watch.left_s(130.0) == 0.0
    assert watch.left_s(1000.0) == 0.0
    watch.end()
    assert (watch.on_trial, watch.ended, watch.left_s(131.0)) == (False, True, None)


def test_every_word_from_control_prolongs_it() -> None:
    """The patience counts from the latest confirmation; control is asked after a third of it."""
    watch = obeying()
    assert not watch.wants_word(109.9)
    assert watch.wants_word(110.0)
    watch.confirm(110.0)
    assert not watch.wants_word(119.9)
    assert watch.left_s(130.0) == 10.0
    assert watch.left_s(140.0) == 0.0


def test_a_trial_that_ended_is_asked_about_and_goes_on_when_confirmed() -> None:
    """Control that is back decides: the trial goes on, or another snapshot takes its place."""
    watch = obeying()
    watch.end()
    assert watch.wants_word(131.0)
    watch.confirm(200.0)
    assert (watch.on_trial, watch.ended, watch.left_s(200.0)) == (True, False, 30.0)
    watch.end()
    watch.begin(None, 240.0)
    assert (watch.on_trial, watch.ended, watch.wants_word(1e9)) == (False, False, False)
