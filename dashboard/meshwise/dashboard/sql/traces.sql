-- Traces with a span that is looked for, the newest first; the rest of their spans is counted over an hour around.
-- Parameters: start, end (Unix seconds), service (empty: any), least_ns, errors (0: any), limit.
-- Columns: those of TraceSummary.
SELECT
    TraceId AS trace_id,
    min(Timestamp) AS start,
    toUInt64(max(toUnixTimestamp64Nano(Timestamp) + Duration) - min(toUnixTimestamp64Nano(Timestamp))) AS duration_ns,
    -- A root has no parent; when it never arrived, the earliest span stands for it.
    argMin(ServiceName, (ParentSpanId != '', Timestamp)) AS service,
    argMin(SpanName, (ParentSpanId != '', Timestamp)) AS name,
    count() AS spans,
    uniqExact(ServiceName) AS services,
    countIf(StatusCode = 'Error') AS errors
FROM otel_traces
WHERE Timestamp >= toDateTime64({start:Float64} - 3600, 9, 'UTC') AND Timestamp < toDateTime64({end:Float64} + 3600, 9, 'UTC')
    AND TraceId IN
    (
        SELECT TraceId
        FROM otel_traces
        WHERE Timestamp >= toDateTime64({start:Float64}, 9, 'UTC') AND Timestamp < toDateTime64({end:Float64}, 9, 'UTC')
            AND TraceId != ''
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND Duration >= {least_ns:UInt64}
            AND ({errors:UInt8} = 0 OR StatusCode = 'Error')
        ORDER BY Timestamp DESC
        LIMIT 1 BY TraceId
        LIMIT {limit:UInt32}
    )
GROUP BY TraceId
ORDER BY start DESC, TraceId
