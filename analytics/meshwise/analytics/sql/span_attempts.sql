-- Calls that applications tell of, on edges that no proxy counts: their CLIENT spans that ended in a window, of a busy
-- edge and method a sample by hash of the trace. Of spans nested in one process the outermost counts. Where spans were
-- sampled, failures and slow ones were kept beyond their share: as in attempts.sql only what chance alone kept counts.
-- Parameters: start and end (Unix seconds, end excluded), scope (of what proxies emit), derived (the instance of edges
-- from spans), max_per_route, max_rows.
-- Columns: start (Unix seconds), duration (seconds), status, outcome, request id, endpoint, instance, source,
-- destination, method.
WITH
alone AS
(
    SELECT source, destination
    FROM mesh_edge_10s
    WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
        AND side = 'client'
    GROUP BY source, destination
    HAVING min(instance = {derived:String}) = 1
),
own AS
(
    SELECT
        TraceId AS trace,
        SpanId AS span,
        ParentSpanId AS parent,
        Timestamp AS began,
        Duration AS lasted,
        reinterpretAsUInt64(reverse(unhex(concat('00', rightPad(
            extract(TraceState, '(?:^|,)\\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,\\s]|$)'), 14, '0'))))) AS threshold,
        reinterpretAsUInt64(reverse(unhex(concat('00', coalesce(
            nullIf(extract(TraceState, '(?:^|,)\\s*ot=(?:[^,]*;)?rv:([0-9a-f]{14})(?:[;,\\s]|$)'), ''),
            substring(TraceId, 19, 14)))))) AS randomness,
        if(ServiceName = '', 'unknown_service', ServiceName) AS service,
        ResourceAttributes['service.instance.id'] AS instance,
        SpanAttributes['server.address'] AS address,
        coalesce(
            nullIf(SpanAttributes['service.peer.name'], ''), nullIf(SpanAttributes['peer.service'], ''),
            if(isIPv4String(address) OR isIPv6String(address), NULL, nullIf(address, '')),
            nullIf(domain(SpanAttributes['url.full']), ''), nullIf(SpanAttributes['net.peer.name'], ''),
            nullIf(address, ''), 'unknown') AS peer,
        coalesce(nullIf(SpanAttributes['http.request.method'], ''), SpanAttributes['http.method']) AS method,
        toUInt16OrZero(coalesce(nullIf(SpanAttributes['http.response.status_code'], ''), SpanAttributes['http.status_code'])) AS status,
        lower(SpanAttributes['error.type']) AS error,
        multiIf(
            status >= 500, 'error',
            status > 0, 'ok',
            StatusCode != 'Error', 'ok',
            position(error, 'timeout') > 0 OR position(error, 'deadline') > 0, 'timeout',
            position(error, 'cancel') > 0, 'cancelled',
            position(error, 'reset') > 0 OR position(error, 'brokenpipe') > 0, 'reset',
            position(error, 'connect') > 0 OR position(error, 'gaierror') > 0 OR position(error, 'unknownhost') > 0, 'connect',
            'error') AS outcome
    FROM otel_traces
    -- A call lasts five minutes at most, so earlier starts need not be read.
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - INTERVAL 5 MINUTE
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
        AND toUnixTimestamp64Nano(Timestamp) + Duration >= toInt64({start:UInt32}) * 1000000000
        AND toUnixTimestamp64Nano(Timestamp) + Duration < toInt64({end:UInt32}) * 1000000000
        AND SpanKind = 'Client'
        AND ScopeName != {scope:String}
        AND ServiceName IN (SELECT source FROM alone)
    LIMIT 1 BY TraceId, SpanId
),
below AS
(
    SELECT TraceId AS trace, ParentSpanId AS span, any(ServiceName) AS service
    FROM otel_traces
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - INTERVAL 6 MINUTE
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC') + INTERVAL 1 MINUTE
        AND SpanKind = 'Server'
        AND ScopeName != {scope:String}
        AND ParentSpanId != ''
    GROUP BY trace, span
)
SELECT
    toUnixTimestamp64Nano(own.began) / 1e9 AS started,
    own.lasted / 1e9 AS duration,
    own.status AS status,
    own.outcome AS outcome,
    concat(own.trace, own.span) AS request_id,
    own.address AS endpoint,
    own.instance AS instance,
    own.service AS source,
    if(below.service != '', below.service, own.peer) AS destination,
    own.method AS method
FROM own
LEFT JOIN below ON below.trace = own.trace AND below.span = own.span
WHERE own.method != ''
    AND (source, destination) IN (SELECT source, destination FROM alone)
    AND (own.trace, own.parent) NOT IN (SELECT trace, span FROM own)
QUALIFY own.randomness >= max(own.threshold) OVER (PARTITION BY source, destination, own.method)
ORDER BY cityHash64(own.trace), started
LIMIT {max_per_route:UInt32} BY source, destination, method
LIMIT {max_rows:UInt32}
