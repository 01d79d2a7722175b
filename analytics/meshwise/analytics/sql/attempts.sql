-- Attempts on the wire that ended in a window: CLIENT spans of the proxies. Of a busy route and method a sample of whole
-- requests, by hash of their id, so that every time block keeps its share. Where spans were sampled, failures and slow ones
-- were kept beyond their share: of a route with a threshold only traces count that chance alone would have kept
-- (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/).
-- Parameters: start and end (Unix seconds, end excluded), scope, max_per_route, max_rows; the others name attributes.
-- Columns: start (Unix seconds), duration and cut (seconds), ordinal, status, policy version, final, outcome, request
-- id, endpoint, instance, source, destination, route, method, whether it is a hedge, whether a candidate was evaluated.
WITH sampled AS
(
    SELECT
        SpanAttributes[{source:String}] AS source,
        SpanAttributes[{destination:String}] AS destination,
        SpanAttributes[{route:String}] AS route,
        SpanAttributes[{method:String}] AS method,
        max(reinterpretAsUInt64(reverse(unhex(concat('00', rightPad(
            extract(TraceState, '(?:^|,)\\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,\\s]|$)'), 14, '0')))))) AS threshold
    FROM otel_traces
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - INTERVAL 1 HOUR
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
        AND SpanKind = 'Client'
        AND ScopeName = {scope:String}
        AND TraceState LIKE '%ot=%th:%'
    GROUP BY source, destination, route, method
)
SELECT
    toUnixTimestamp64Nano(Timestamp) / 1e9 AS started,
    Duration / 1e9 AS duration,
    toFloat64OrZero(SpanAttributes[{cut:String}]) / 1e3 AS cut,
    toUInt32OrZero(SpanAttributes[{ordinal:String}]) AS ordinal,
    toUInt16OrZero(SpanAttributes[{status:String}]) AS status,
    toUInt64OrZero(SpanAttributes[{policy_version:String}]) AS policy_version,
    SpanAttributes[{final:String}] = 'true' AS final,
    SpanAttributes[{outcome:String}] AS outcome,
    SpanAttributes[{request_id:String}] AS request_id,
    SpanAttributes[{endpoint:String}] AS endpoint,
    ResourceAttributes[{instance:String}] AS instance,
    SpanAttributes[{source:String}] AS source,
    SpanAttributes[{destination:String}] AS destination,
    SpanAttributes[{route:String}] AS route,
    SpanAttributes[{method:String}] AS method,
    SpanAttributes[{reason:String}] = 'hedge' AS hedge,
    mapContains(SpanAttributes, {shadow_version:String}) AS shadow
FROM otel_traces
LEFT JOIN sampled ON sampled.source = SpanAttributes[{source:String}]
    AND sampled.destination = SpanAttributes[{destination:String}]
    AND sampled.route = SpanAttributes[{route:String}]
    AND sampled.method = SpanAttributes[{method:String}]
-- An attempt lasts an hour at most, so earlier starts need not be read.
-- Compared with a DateTime, a part whose spans all began in the last second before it would be skipped.
WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - INTERVAL 1 HOUR
    AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
    AND toUnixTimestamp64Nano(Timestamp) + Duration >= toInt64({start:UInt32}) * 1000000000
    AND toUnixTimestamp64Nano(Timestamp) + Duration < toInt64({end:UInt32}) * 1000000000
    AND SpanKind = 'Client'
    AND ScopeName = {scope:String}
    AND ordinal > 0
    AND (threshold = 0 OR threshold <= reinterpretAsUInt64(reverse(unhex(concat('00', coalesce(
        nullIf(extract(TraceState, '(?:^|,)\\s*ot=(?:[^,]*;)?rv:([0-9a-f]{14})(?:[;,\\s]|$)'), ''),
        substring(TraceId, 19, 14)))))))
ORDER BY cityHash64(request_id), started
LIMIT {max_per_route:UInt32} BY source, destination, route, method
LIMIT {max_rows:UInt32}
