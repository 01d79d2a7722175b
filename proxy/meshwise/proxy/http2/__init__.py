"""HTTP/2 as bytes in, callbacks out: no sockets, and time only as an argument.

``huffman``, ``tables``, ``decoder`` and ``encoder`` are HPACK (RFC 7541). ``frames`` cuts the bytes into frames and
writes them, ``session`` is one connection of either role with its streams and windows (RFC 9113), ``guards`` counts
what a peer may not do too often. ``heads`` turns field lists into the same heads that HTTP/1.1 has, and refuses
whatever has two readings; ``grpc`` knows what gRPC adds, and ``messages`` where its
messages end.

A request that comes by HTTP/2 leaves by HTTP/2. Nothing is translated between the versions, so there is no message that
reads differently on the two sides.
"""
