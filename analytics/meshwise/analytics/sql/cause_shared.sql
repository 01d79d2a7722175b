-- What the attempts of one edge had in common in a window: per attribute and value, how many there were and how many
-- were bad. Parameters: source, destination, start and end (Unix seconds), slow_ns (an attempt that took longer is bad).
-- What the callee is, its own span says; an attempt that never arrived has none.
SELECT attribute, value, count() AS attempts, countIf(bad) AS bad_attempts
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
        StatusCode = 'Error' OR Duration > {slow_ns:UInt64} AS bad
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
