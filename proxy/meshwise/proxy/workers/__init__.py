"""Several processes as one proxy: workers share the listeners, one process above them is all that others see.

    control, identity, administration ─▶ crew ══▶ worker 0, worker 1, … ─▶ collector

``crew``     starts workers, replaces those that end, hands down snapshots and identity, asks and answers for all
``worker``   one process: data path and exporter; what it is told comes over a socket from the crew
``channel``  that socket: one JSON object a line
``merge``    many workers' counts and states as one

A worker balances, breaks, pools and ejects by what it sees itself. What bounds load that is added, the floor of a retry
budget, is divided among them; rates and concurrency limits are counted by all of them together (``guard.shared``).
"""
