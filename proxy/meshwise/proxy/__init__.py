"""The sidecar: every call between services passes through two of these.

    app ─▶ outbound ══▶ inbound of the other proxy ─▶ app

``dispatch``   the stack as one list: what happens to a request, in which order
``call``       the state machine of one request's attempts, ``hedge`` a second one beside the first
``exchange``   a call between a caller's connection and an endpoint's: bodies, deadlines, back-pressure
``routing``    snapshot → table: authority, method, path → cluster and governing policy
``steering``   where a policy sends requests and what it changes about them; ``mirror`` sends copies
``access/``    who may call the application: tokens and rules
``cluster/``   pure state machines: balancer, outlier, breaker, budget, retry
``guard/``     what the inbound side lets through: rate and concurrency
``discovery/`` endpoints that control does not know: a file, DNS
``http1/``     strict HTTP/1.1, bytes in, callbacks out
``net/``       the only sockets: connections, pools, timers
``telemetry/`` records in, OTLP out, off the hot path
``inprocess/`` the same stack as an httpx transport and an ASGI middleware
``workers/``   several processes as one proxy; ``handover`` lets a successor take the ports over
``proxy``      wires the above; ``main`` runs it as a process; ``control_client`` follows control; ``admin`` shows it

Run it with ``meshwise.proxy.main.run(ProxySettings(...))``. Nothing here imports another room but the contracts.
"""
