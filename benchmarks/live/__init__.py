"""The loop on real processes: the demo's shop behind its proxies, broken in one way after another.

Every number of a request is from the load generator's own record, which counts from the moment a request was meant to
start; every time of a rollout is control's.

    shop        starts the platform and the shop, and asks them things
    scenarios   what is broken or submitted, and what is waited for
    rehearsed   what the rehearsal predicted for a trigger, beside what the shop then did
    metastable  a service with a queue under callers that repeat, guards off and on
    report      rows, figures and the table
"""
