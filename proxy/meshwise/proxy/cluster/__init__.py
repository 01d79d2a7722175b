"""A cluster is a service as its callers see it: endpoints, and what keeps calls to them sound.

``balancer`` picks an endpoint, ``picking`` with ``hashing`` and ``latency`` where more is asked for; ``outlier`` lets
failing ones rest, ``checking`` those that say they are unwell; ``breaker`` bounds concurrency, ``budget`` bounds
retries, ``retry`` decides whether one more attempt is right, ``cluster`` holds their state across snapshots. All of it
is pure: time and randomness are arguments, nothing here touches a socket.
"""
