-- What the attempts of one edge had in common in a window: per attribute and value, how many there were, how many were
-- bad, and how many bad ones were looked at. Where spans were sampled, each counts for as many as it stands for
-- (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/), for bad ones are kept beyond their
-- share. Parameters: source, destination, start and end (Unix seconds), slow_ns (an attempt that took longer is bad),
-- max_weight. What the callee is, its own span says; an attempt that never arrived has none.
SELECT attribute, value, sum(weight) AS attempts, sumIf(weight, bad) AS bad_attempts, countIf(bad) AS seen
FROM
(
    SELECT
        arrayJoin([
            ('endpoint', SpanAttributes['meshwise.endpoint']),
            ('route', SpanAttributes['http.route']),
            ('policy version', SpanAttributes['meshwise.policy.version']),
            ('caller instance', ResourceAttributes['service.instance.id']),
            ('caller version', ResourceAttributes['service.version']),
            ('callee instance', answered.instance),
            ('callee version', answered.version)
        ]) AS pair,
        pair.1 AS attribute,
        pair.2 AS value,
        StatusCode = 'Error' OR Duration > {slow_ns:UInt64} AS bad,
        reinterpretAsUInt64(reverse(unhex(concat('00', rightPad(
            extract(TraceState, '(?:^|,)\\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,\\s]|$)'), 14, '0'))))) AS rejected,
        least({max_weight:Float64}, 72057594037927936 / (72057594037927936 - rejected)) AS weight
    FROM otel_traces AS asked
    LEFT ANY JOIN
    (
        SELECT
            TraceId AS trace,
            ParentSpanId AS span,
            ResourceAttributes['service.instance.id'] AS instance,
            ResourceAttributes['service.version'] AS version
        FROM otel_traces
        WHERE ServiceName = {destination:String} AND SpanKind = 'Server'
            -- Clocks differ, and a callee may begin late.
            AND Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - INTERVAL 60 SECOND
            AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC') + INTERVAL 60 SECOND
    ) AS answered ON asked.TraceId = answered.trace AND asked.SpanId = answered.span
    WHERE ServiceName = {source:String} AND SpanKind = 'Client'
        AND SpanAttributes['service.peer.name'] = {destination:String}
        AND Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
)
WHERE value != ''
GROUP BY attribute, value
ORDER BY attribute, bad_attempts DESC, value
LIMIT 50 BY attribute
