-- Spans of the traces that touched a window, chosen by id so that the choice is the same again; spans of an hour around
-- the window belong to them. Parameters: start, end (Unix seconds), service (empty: any), limit (traces).
SELECT
    TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind, toUnixTimestamp64Nano(Timestamp) AS start, Duration,
    StatusCode, SpanAttributes, `Links.TraceId`, `Links.SpanId`, TraceState
FROM otel_traces
WHERE Timestamp >= toDateTime64({start:Float64} - 3600, 9, 'UTC') AND Timestamp < toDateTime64({end:Float64} + 3600, 9, 'UTC')
    AND TraceId IN
    (
        SELECT TraceId
        FROM otel_traces
        WHERE Timestamp >= toDateTime64({start:Float64}, 9, 'UTC') AND Timestamp < toDateTime64({end:Float64}, 9, 'UTC')
            AND ({service:String} = '' OR ServiceName = {service:String})
        GROUP BY TraceId
        ORDER BY cityHash64(TraceId)
        LIMIT {limit:UInt32}
    )
ORDER BY TraceId, Timestamp, SpanId
SETTINGS max_result_rows = 2000000
