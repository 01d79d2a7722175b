"""A long run of everything that happens to a proxy, good and bad: ``PYTHONPATH=tests python -m soak [--seconds 1800]``.

After every round the load stops and everything that may be left is counted; what grows from round to round is a leak.
"""
