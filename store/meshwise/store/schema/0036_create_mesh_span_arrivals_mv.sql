-- Fills mesh_span_arrivals. Spans of proxies are left out: what proxies see, they count themselves.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_span_arrivals_mv TO mesh_span_arrivals AS
SELECT toDateTime(intDiv(toUnixTimestamp64Nano(Timestamp) + Duration, 10000000000) * 10, 'UTC') AS bucket, count() AS spans
FROM otel_traces
WHERE ScopeName != 'meshwise.proxy' AND SpanKind IN ('Client', 'Server', 'Producer', 'Consumer')
GROUP BY bucket
