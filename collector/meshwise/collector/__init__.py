"""The collector: OpenTelemetry in, an on-disk spool, ClickHouse out.

``receivers`` take OTLP over HTTP (protobuf and JSON) and gRPC, cap the size before and after decompression, and charge
every request against one memory limit. ``validate`` parses each request once with the protobuf C library, counts its
items and cuts out the bad ones, which the sender learns about as a partial success. What is left goes, as raw bytes,
into an append-only segment file (``spool``) and is acknowledged after ``fdatasync``; many requests share one.

``inserter`` sends each sealed segment as ONE insert whose deduplication token is the segment's name: ClickHouse parses
the protobuf itself, and a segment sent again after a crash is recognised. The file is deleted when the insert returned,
so what was acknowledged is stored once and never lost. While the store is away the spool grows up to its limit, then
senders are told to come back later. A record the store refuses for ever is put aside (``quarantine``), never dropped.

Direction of flow: receivers → pipeline → validate → spool.writer → backlog → inserter → landing.
Start it with ``meshwise.collector.main.run(CollectorSettings(...))``; it serves ``/livez``, ``/readyz`` and
``/metrics`` on the OTLP/HTTP port.
"""
