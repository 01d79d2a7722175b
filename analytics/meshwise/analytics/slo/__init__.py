"""Service level objectives: who promised what, how much of it was kept, how fast the error budget burns.

    objectives   settings → one availability and one latency objective per called service
    counts       rollups → judged requests per service in every window that a rule looks at
    audit        the whole way from the store to the states
    evaluate     both → ``SloFinding`` rows and, for the alerts, which burn-rate rules are breached

The indicator is measured on the CLIENT side of a service's inbound edges, in logical requests: what callers got after
retries. A timeout, a refused connection or an open breaker never reaches the callee, so its own count cannot see them.
Where no caller has a proxy (the edge of the mesh) the callee's side stands in. Cancelled requests are left out.
"""
