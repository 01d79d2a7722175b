"""How fast and how large the proxy is, beside proxies that others run, in one run on one core.

Core 0 belongs to the proxy under test, core 1 to everything else: the load, nginx as the endpoint, the sink that counts
spans. Every proxy does the same work: one route, two endpoints, timeouts, retries and outlier detection on, and, where
the proxy can, every request traced over OTLP/HTTP.
"""
