"""How good proposals and replays are, on simulated routes whose truth is known.

    system      one route: latencies, errors, faults over time, sticky requests, load; one policy played on it
    budgets     the sliding retry budget, as the proxy keeps it
    scenarios   the routes, with parameters drawn from the seed
    recording   what proxies would have recorded, cut-off attempts included
    rivals      common defaults, the usual rule of thumb, and the oracle: a grid search on the true system
    trials      the proposer in its loop (record, propose, apply, again), judged by the truth
    report      figures and tables

The proposer sees recordings only, never a scenario.
"""
