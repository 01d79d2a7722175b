"""Fuzzing of everything that reads what strangers send: ``PYTHONPATH=tests python -m fuzz [TARGET] [--seconds 600]``.

``mutations`` makes inputs from the seeds of a target, ``targets`` says what must hold for every input. A run is
repeatable by its ``--seed``. What breaks a promise is kept in ``tests/fuzz/crashes`` and tried first by every later
run, the one in the test suite among them.
"""
