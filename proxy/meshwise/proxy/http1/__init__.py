"""HTTP/1.1 as bytes in, callbacks out: no sockets, no clock.

``heads`` turns one head into a ``RequestHead`` or ``ResponseHead`` and refuses whatever has two readings, ``bodies``
frames bodies both ways, ``readers`` strings both together over arbitrary splits of the input.

The grammar is a white list: a head is accepted when it matches as a whole, so there is no list of known tricks to keep
up to date. Field lines the proxy has no business with are passed on byte for byte.
"""
