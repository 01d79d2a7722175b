"""The sidecar: every call between services passes through two of these.

    app ─▶ outbound ══▶ inbound of the other proxy ─▶ app

``dispatch``   the stack as one list: what happens to a request, in which order
``exchange``   the state machine of one request: attempts, bodies, deadlines
``routing``    snapshot → table: authority, method, path → cluster and governing policy
``cluster/``   pure state machines: balancer, outlier, breaker, budget, retry
``http1/``     strict HTTP/1.1, bytes in, callbacks out
``net/``       the only sockets: connections, pools, timers
``telemetry/`` records in, OTLP out, off the hot path
``inprocess/`` the same stack as an httpx transport and an ASGI middleware
``workers/``   several processes as one proxy; ``handover`` lets a successor take the ports over
``proxy``      wires the above; ``main`` runs it as a process; ``control_client`` follows control; ``admin`` shows it

Run it with ``meshwise.proxy.main.run(ProxySettings(...))``. Nothing here imports another room but the contracts.
"""
