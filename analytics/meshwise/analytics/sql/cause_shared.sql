-- What the attempts of one edge had in common in a window: per attribute and value, how many there were and how many
-- were bad. Parameters: source, destination, start and end (Unix seconds), slow_ns (an attempt that took longer is bad).
SELECT attribute, value, count() AS attempts, countIf(bad) AS bad_attempts
FROM
(
    SELECT
        arrayJoin([
            ('endpoint', SpanAttributes['meshwise.endpoint']),
            ('route', SpanAttributes['http.route']),
            ('policy version', SpanAttributes['meshwise.policy.version']),
            ('caller instance', ResourceAttributes['service.instance.id']),
            ('caller version', ResourceAttributes['service.version'])
        ]) AS pair,
        pair.1 AS attribute,
        pair.2 AS value,
        StatusCode = 'Error' OR Duration > {slow_ns:UInt64} AS bad
    FROM otel_traces
    WHERE ServiceName = {source:String} AND SpanKind = 'Client'
        AND SpanAttributes['service.peer.name'] = {destination:String}
        AND Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
)
WHERE value != ''
GROUP BY attribute, value
ORDER BY attribute, bad_attempts DESC, value
LIMIT 50 BY attribute
