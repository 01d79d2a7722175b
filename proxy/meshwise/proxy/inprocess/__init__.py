"""The proxy without a sidecar, for Python services: the same engine and telemetry, called instead of connected to.

``mesh``       one service's part in the mesh: policy from control or a file, telemetry to the collector
``transport``  its outbound side as an httpx transport, for an asynchronous and for a plain client
``middleware`` its inbound side as an ASGI middleware
``call``       one request between an httpx client and the exchange that a proxy would run for it
``current``    the request that the running task serves: parent span and deadline of the calls it makes

Routing, timeouts, retries, budgets, breaker, outlier detection, connections and mutual TLS are the proxy's own code.
"""

from meshwise.proxy.inprocess.mesh import Mesh, MeshThread
from meshwise.proxy.inprocess.middleware import MeshMiddleware

__all__ = ["Mesh", "MeshMiddleware", "MeshThread"]
