"""Sampling of traces in the collector: a share of them by chance, and all that somebody will want to look at.

``threshold``  OpenTelemetry's consistent probability sampling: thresholds and randomness in ``tracestate``
``watch``      learns, as spans arrive, which traces have an error, are slow, or are of a route that is rarely seen
``sampler``    decides, once a segment has waited for the rest of its traces, which spans go on, and with what weight

Spans are acknowledged and on disk before any of this; what is thinned out is counted. A span kept by chance carries the
threshold it passed (``ot=th:``), so it counts for as many as it stands for; a span kept for what it is counts for one.
Both together are unbiased, whoever counts. Proxies' metrics are exact and never sampled.
"""
