"""What would happen if something broke: the learned graph, simulated under a trigger, one policy against another.

    config     durations, triggers' strengths, and what counts as recovery
    graph      services, the calls between them and the streams that enter: what is simulated
    learn      such a graph from a window of the mesh
    trigger    a slow backend, lost replicas, a spike of load, a burst of errors
    window     the budgets of an edge
    engine     the discrete-event simulation: queues, slots, timeouts, retries, budgets, breakers, ejection
    recovery   one run, read: is goodput back after the trigger, or does the failure feed itself?
    compare    the policy in force and a proposed one side by side, and the load up to which each recovers

A failure is *metastable* when it outlives its trigger: retries keep the callee busy with work nobody waits for. Taking
the trigger away does not help then, which no replay of recorded attempts can show. Sources: N. Bronson et al.,
"Metastable Failures in Distributed Systems" (HotOS 2021); L. Huang et al., "Metastable Failures in the Wild" (OSDI
2022).

Everything here is pure and takes its seed as an argument.
"""
