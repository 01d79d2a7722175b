-- Calls that applications and Envoys tell of, on edges that no proxy of ours counts: spans that ended in a window, of a
-- busy edge and method a sample by hash of the trace. Of an application's spans nested in one process the outermost
-- counts, and none where an Envoy tells of the same call. An Envoy's attempts are known by the spans below that of the
-- request (contracts.envoy_spans); where it writes none, the request is one attempt. Where spans
-- were sampled, failures and slow ones were kept beyond their share: as in attempts.sql only what chance alone kept counts.
-- Parameters: start and end (Unix seconds, end excluded), scope (of what proxies emit), derived (the instance of edges
-- from spans), max_per_route, max_rows, and those of contracts.envoy_spans.
-- Columns: start (Unix seconds), duration (seconds), status, outcome, request id, endpoint, instance, source,
-- destination, method, ordinal, final, whether an Envoy told of it.
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
        SpanKind = 'Client' AS calls,
        if(ServiceName = '', 'unknown_service', ServiceName) AS service,
        SpanAttributes['component'] = 'proxy' AND SpanAttributes['response_flags'] != '' AS envoy,
        splitByChar(',', SpanAttributes['response_flags']) AS flags,
        coalesce(nullIf(SpanAttributes['upstream_cluster.name'], ''), SpanAttributes['upstream_cluster']) AS cluster,
        coalesce(nullIf(ResourceAttributes['service.instance.id'], ''), SpanAttributes['node_id']) AS instance,
        if(envoy, SpanAttributes['upstream_address'], SpanAttributes['server.address']) AS address,
        coalesce(
            if(envoy, extract(cluster, {envoy_service:String}), NULL),
            nullIf(SpanAttributes['service.peer.name'], ''), nullIf(SpanAttributes['peer.service'], ''),
            if(isIPv4String(address) OR isIPv6String(address), NULL, nullIf(address, '')),
            nullIf(domain(SpanAttributes['url.full']), ''), nullIf(SpanAttributes['net.peer.name'], ''),
            nullIf(address, ''), 'unknown') AS peer,
        coalesce(nullIf(SpanAttributes['http.request.method'], ''), SpanAttributes['http.method']) AS method,
        toUInt16OrZero(coalesce(nullIf(SpanAttributes['http.response.status_code'], ''), SpanAttributes['http.status_code'])) AS status,
        if(envoy, SpanAttributes['grpc.status_code'], '') AS rpc_status,
        if(envoy, greatest(toUInt32OrZero(SpanAttributes['retry.count']), toUInt32OrZero(SpanAttributes['http.request.resend_count'])), 0) AS resend,
        lower(SpanAttributes['error.type']) AS error,
        multiIf(
            envoy AND hasAny(flags, {envoy_cut_off:Array(String)}), 'timeout',
            envoy AND hasAny(flags, {envoy_not_connected:Array(String)}), 'connect',
            envoy AND hasAny(flags, {envoy_turned_away:Array(String)}), 'rejected',
            envoy AND hasAny(flags, {envoy_broken:Array(String)}), 'reset',
            envoy AND hasAny(flags, {envoy_caller_gone:Array(String)}), 'cancelled',
            status >= 500, 'error',
            rpc_status = '1', 'cancelled',
            rpc_status = '4', 'timeout',
            rpc_status IN ('2', '12', '13', '14', '15'), 'error',
            status > 0, 'ok',
            -- Given up by the Envoy: why, the span of the request says.
            envoy AND SpanAttributes['canceled'] = 'true', 'given up',
            envoy AND SpanAttributes['error'] = 'true', 'error',
            StatusCode != 'Error', 'ok',
            position(error, 'timeout') > 0 OR position(error, 'deadline') > 0, 'timeout',
            position(error, 'cancel') > 0, 'cancelled',
            position(error, 'reset') > 0 OR position(error, 'brokenpipe') > 0, 'reset',
            position(error, 'connect') > 0 OR position(error, 'gaierror') > 0 OR position(error, 'unknownhost') > 0, 'connect',
            'error') AS outcome
    FROM otel_traces
    -- A call lasts five minutes at most, so earlier starts need not be read. The span of an Envoy's request may end after
    -- the window that its attempts ended in.
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - INTERVAL 5 MINUTE
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
        AND toUnixTimestamp64Nano(Timestamp) + Duration >= toInt64({start:UInt32}) * 1000000000
        AND (SpanKind = 'Client' OR SpanKind = 'Server' AND SpanAttributes['component'] = 'proxy' AND SpanAttributes['response_flags'] != '')
        AND ScopeName != {scope:String}
        AND ServiceName IN (SELECT source FROM alone)
    LIMIT 1 BY TraceId, SpanId
),
-- Beside each span what those of the same request say, of which it is one where an Envoy wrote a span of its own per attempt.
hops AS
(
    SELECT
        *,
        max(envoy AND NOT calls) OVER request AS routed,
        max(calls) OVER request AS has_attempts,
        if(method != '', method, max(method) OVER request) AS asked,
        max(NOT calls AND hasAny(flags, {envoy_cut_off:Array(String)})) OVER request AS request_cut_off,
        max(resend) OVER request AS last
    FROM own
    WINDOW request AS (PARTITION BY trace, if(envoy AND calls AND parent != '', parent, span), cluster)
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
SELECT started, duration, code, result, request_id, endpoint, instance, source, destination, asked, ordinal, final, envoy
FROM
(
    SELECT
        hops.trace AS trace,
        toUnixTimestamp64Nano(hops.began) / 1e9 AS started,
        hops.lasted / 1e9 AS duration,
        multiIf(hops.outcome != 'given up', hops.outcome, hops.request_cut_off, 'timeout', 'cancelled') AS result,
        -- What an Envoy answers in place of an endpoint is no answer of the endpoint.
        if(hops.envoy AND result IN ('timeout', 'connect', 'reset', 'cancelled'), 0, hops.status) AS code,
        concat(hops.trace, if(hops.routed AND hops.calls, hops.parent, hops.span)) AS request_id,
        hops.address AS endpoint,
        hops.instance AS instance,
        hops.service AS source,
        if(below.service != '', below.service, hops.peer) AS destination,
        hops.asked AS asked,
        if(hops.routed, hops.resend, 0) + 1 AS ordinal,
        NOT hops.routed OR hops.resend = hops.last AS final,
        hops.envoy AS envoy,
        max(hops.envoy) OVER (PARTITION BY hops.trace, source, destination) AS told_by_envoy
    FROM hops
    LEFT JOIN below ON below.trace = hops.trace AND below.span = hops.span
    WHERE hops.asked != ''
        AND toUnixTimestamp64Nano(hops.began) + hops.lasted < toInt64({end:UInt32}) * 1000000000
        AND if(
            hops.envoy,
            hops.cluster != '' AND NOT hasAny(hops.flags, {envoy_not_sent:Array(String)})
                -- Of the request itself: not where its attempts are told of, nor what a sidecar handed to its own application.
                AND (hops.calls OR (NOT hops.has_attempts AND source != destination)),
            (hops.trace, hops.parent) NOT IN (SELECT trace, span FROM own WHERE NOT envoy))
        AND (source, destination) IN (SELECT source, destination FROM alone)
    QUALIFY hops.randomness >= max(hops.threshold) OVER (PARTITION BY source, destination, hops.asked)
)
WHERE envoy OR NOT told_by_envoy
ORDER BY cityHash64(trace), request_id, started
LIMIT {max_per_route:UInt32} BY source, destination, asked
LIMIT {max_rows:UInt32}
