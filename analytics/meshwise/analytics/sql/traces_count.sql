-- How many traces touched a window. Parameters: start, end (Unix seconds), service (empty: any).
SELECT uniqExact(TraceId)
FROM otel_traces
WHERE Timestamp >= toDateTime64({start:Float64}, 9, 'UTC') AND Timestamp < toDateTime64({end:Float64}, 9, 'UTC')
    AND ({service:String} = '' OR ServiceName = {service:String})
