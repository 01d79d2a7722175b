"""Service level objectives: who promised what, how much of it was kept, how fast the error budget burns.

    promises     OpenSLO documents in force: kept in the store, taken whole or not at all
    objectives   documents, and defaults for services that have none → objectives
    counts       rollups → judged requests per signal and bucket
    waits        routes that wait by design, which latency objectives leave out
    grid         counts on a grid of buckets that moves along: what is known is not read again
    ledger       grids of several lengths → judged requests in any window that ends now
    measure      one objective over one window: requests, time slices, composites
    trickle      the service so quiet that its failures never reach the guard
    exhaustion   how long the budget lasts
    evaluate     all of it → ``SloFinding`` rows and, for the alerts, which rules are breached
    burndown     the course of a budget through its window
    suggest      past counts → objectives with the budget each would have left
    backtest     past counts → alerts that would have fired, and how well they tell incidents
    history      the minutes of the past that a backtest needs
    inquiry      suggestions and backtests, as the service and notebooks ask for them
    audit        the whole way from the store to the states

The indicator is measured on the CLIENT side of a service's inbound edges, in logical requests: what callers got after
retries. A timeout, a refused connection or an open breaker never reaches the callee, so its own count cannot see them.
Where no caller has a proxy (the edge of the mesh) the callee's side stands in. Cancelled requests are left out.
"""
