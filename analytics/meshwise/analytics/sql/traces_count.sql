-- How many traces that were kept touched a window: of how many a reader looks at some. What each stands for where traces
-- were sampled, it carries itself (traces/calls.py), so weights here would count twice. Parameters: start, end (Unix seconds), service (empty: any).
SELECT uniqExact(TraceId)
FROM otel_traces
WHERE Timestamp >= toDateTime64({start:Float64}, 9, 'UTC') AND Timestamp < toDateTime64({end:Float64}, 9, 'UTC')
    AND ({service:String} = '' OR ServiceName = {service:String})
