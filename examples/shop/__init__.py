"""A small shop of eight services, the sample application behind the proxies of ``meshwise demo``.

Every service is its own process: ``python -m examples.shop catalog --port 7002 --mesh http://127.0.0.1:15001``. It
calls the others as ``http://catalog/…`` through the HTTP proxy beside it, as any application would, and passes the
trace headers of the request it works for along. Nothing here knows meshwise.

    ingress → frontend → catalog → inventory
                       → recommendation → catalog
                       → cart
                       → checkout → cart, inventory, payment, shipping

- ``faults``    what can be switched on at any service: a slow tail, errors, resets, a CPU hog
- ``counters``  what a service received and called: the truth that a service map is checked against
- ``calls``     the client a service calls the others with
- ``service``   one aiohttp application made of the parts above and a module's routes
- ``load``      the open-loop load generator, with a record of its own

Paths under ``/-/`` and ``/livez`` steer and inspect a service directly; they are never counted.
"""
