-- Fills otel_traces_trace_id_ts.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts
(
    TraceId String,
    Start DateTime('UTC'),
    End DateTime('UTC')
) AS
SELECT TraceId, min(toDateTime(Timestamp, 'UTC')) AS Start, max(toDateTime(Timestamp, 'UTC')) AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId
