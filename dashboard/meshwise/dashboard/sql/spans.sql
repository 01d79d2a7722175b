-- The spans of one trace in order of their start.
-- Parameters: trace_id, limit. Columns: those of SpanRow.
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
FROM mesh_trace(trace_id = {trace_id:String})
ORDER BY Timestamp, SpanId
LIMIT {limit:UInt32}
