-- Buckets in which a span of an application ended, the oldest first: what a backfill has to work out.
-- Parameters: start and end (Unix seconds, end excluded), longest_s, scope.
SELECT DISTINCT toUInt32(intDiv(toUnixTimestamp64Nano(Timestamp) + Duration, 10000000000) * 10) AS at
FROM otel_traces
WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - toIntervalSecond({longest_s:UInt32})
    AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
    AND at >= {start:UInt32} AND at < {end:UInt32}
    AND ScopeName != {scope:String}
    AND SpanKind IN ('Client', 'Server', 'Producer', 'Consumer')
ORDER BY at
