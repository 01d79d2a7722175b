-- The spans of one trace in order of their start, found by when the trace began and ended.
-- Parameters: trace_id, limit. Columns: those of SpanRow.
WITH
    (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = {trace_id:String}) AS earliest,
    (SELECT max(End) FROM otel_traces_trace_id_ts WHERE TraceId = {trace_id:String}) AS latest
SELECT
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    ServiceName AS service,
    SpanName AS name,
    SpanKind AS kind,
    Timestamp AS start,
    toUnixTimestamp64Nano(Timestamp) AS start_ns,
    Duration AS duration_ns,
    StatusCode = 'Error' AS error,
    StatusMessage AS message,
    SpanAttributes AS attributes
FROM otel_traces
WHERE TraceId = {trace_id:String} AND Timestamp >= earliest AND Timestamp <= latest + INTERVAL 1 SECOND
ORDER BY Timestamp, SpanId
LIMIT {limit:UInt32}
