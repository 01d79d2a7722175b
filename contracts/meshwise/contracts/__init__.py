"""The shared language of meshwise: what two or more rooms must agree on, and nothing else.

- ``policy``     the traffic policy document: parsed once, immutable, refused whole when wrong; ``policy.schema.json``
                 says its structure to editors and other programs
- ``snapshot``   what control hands a proxy: endpoints per service, and the policies in force
- ``telemetry``  names of attributes and metrics, OpenTelemetry's first
- ``histogram``  exponential buckets that add up, so that percentiles survive aggregation
- ``slo``        service level objectives and burn-rate rules
- ``windows``    windows of objectives, rolling or by a calendar
- ``openslo``    OpenSLO v1 documents, read strictly into objectives
- ``rows``       rows of the ``mesh_*`` tables that one room writes and another reads
- ``duration``   durations as documents spell them
- ``errors``     the root of every error meshwise raises on purpose

Standard library only; no input or output, no environment, no clients. Everyone imports this, it imports nobody.
"""
