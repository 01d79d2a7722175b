"""The store: where spans, metrics, logs and findings live, in ClickHouse or in an embedded engine that speaks like it.

Every other room reaches the store through ClickHouse's own HTTP protocol, on a laptop and in production alike.

- ``main``      ``run`` serves the embedded engine; ``migrate`` brings any store's tables up to date
- ``client``    ``connect`` and ``connect_async``: ordinary clickhouse-connect clients, or one clear line why not
- ``schema/``   the history of every table, one statement per file, applied in order by ``migrations``
- ``otlp``      how raw OTLP bytes are inserted: the landing tables, the protobuf schema texts, the settings
- ``findings``  typed rows of the ``mesh_*`` tables, written and read back as ``contracts.rows`` dataclasses
- ``sql``       ``load_sql`` reads the ``.sql`` files that rooms carry as package data

The embedded server is a chain: ``server`` (ASGI) → ``request`` (what the client asked) → ``gate`` (what is refused
before anything runs) → ``engine`` (chDB under a profile of limits and grants, ``engine_config``) → streamed answer.
"""
