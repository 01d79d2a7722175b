-- The spans of applications and Envoys that ended in some buckets and tell of a call, with the other end of each call where
-- it is known. Differences and neighbours go on from here.
-- Parameters: buckets (Unix seconds), start and end (of the buckets, end excluded), longest_s (longest call looked for),
-- reach_s (how far apart two ends of a call may begin), scope (of what proxies emit), max_weight, and those of
-- contracts.envoy_spans.
-- own: one row per span. calls: it is the caller's; handed_on: of a callee's that is an Envoy, the call that it made of the
-- request; weight: how many calls it stands for when spans were sampled
-- (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/); up_*: the span that caused it.
-- up: the caller's span of a callee's, and of an Envoy's attempt the span of its request. down: what is known of the far end of a caller's span. again: repeated attempts.
WITH
own AS
(
    SELECT
        toUInt32(intDiv(toUnixTimestamp64Nano(Timestamp) + Duration, 10000000000) * 10) AS bucket,
        TraceId AS trace,
        SpanId AS span,
        ParentSpanId AS parent,
        SpanKind IN ('Client', 'Producer') AS calls,
        if(SpanAttributes['component'] = 'proxy' AND SpanAttributes['response_flags'] != '', splitByChar(',', SpanAttributes['response_flags']), []) AS flags,
        coalesce(nullIf(SpanAttributes['upstream_cluster.name'], ''), SpanAttributes['upstream_cluster']) AS cluster,
        SpanKind = 'Server' AND notEmpty(flags) AS handed_on,
        if(ServiceName = '', 'unknown_service', ServiceName) AS service,
        if(SpanKind = 'Consumer' AND notEmpty(`Links.SpanId`), `Links.TraceId`[1], TraceId) AS up_trace,
        if(SpanKind = 'Consumer' AND notEmpty(`Links.SpanId`), `Links.SpanId`[1], ParentSpanId) AS up_span,
        SpanAttributes['server.address'] AS address,
        coalesce(
            nullIf(SpanAttributes['service.peer.name'], ''), nullIf(SpanAttributes['peer.service'], ''),
            nullIf(SpanAttributes['messaging.destination.name'], ''), nullIf(extract(cluster, {envoy_service:String}), ''),
            if(isIPv4String(address) OR isIPv6String(address), NULL, nullIf(address, '')),
            nullIf(SpanAttributes['db.system.name'], ''), nullIf(SpanAttributes['db.system'], ''),
            nullIf(domain(SpanAttributes['url.full']), ''), nullIf(SpanAttributes['net.peer.name'], ''),
            nullIf(address, ''), 'unknown') AS peer,
        multiIf(
            SpanAttributes['http.route'] != '', SpanAttributes['http.route'],
            SpanAttributes['rpc.service'] != '', concat(SpanAttributes['rpc.service'], '/', SpanAttributes['rpc.method']),
            SpanAttributes['rpc.method']) AS route,
        coalesce(nullIf(SpanAttributes['http.request.method'], ''), SpanAttributes['http.method']) AS method,
        toUInt16OrZero(coalesce(nullIf(SpanAttributes['http.response.status_code'], ''), SpanAttributes['http.status_code'])) AS status,
        upper(coalesce(nullIf(SpanAttributes['rpc.response.status_code'], ''), nullIf(SpanAttributes['rpc.grpc.status_code'], ''),
            SpanAttributes['grpc.status_code'])) AS rpc_status,
        lower(SpanAttributes['error.type']) AS error,
        multiIf(
            status >= 500, 'error',
            rpc_status IN ('1', 'CANCELLED'), 'cancelled',
            rpc_status IN ('4', 'DEADLINE_EXCEEDED'), 'timeout',
            rpc_status IN ('2', '12', '13', '14', '15', 'UNKNOWN', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'), 'error',
            rpc_status != '' OR status > 0, 'ok',
            StatusCode != 'Error' AND SpanAttributes['error'] != 'true', 'ok',
            position(error, 'timeout') > 0 OR position(error, 'deadline') > 0, 'timeout',
            position(error, 'cancel') > 0, 'cancelled',
            position(error, 'reset') > 0 OR position(error, 'brokenpipe') > 0, 'reset',
            position(error, 'connect') > 0 OR position(error, 'gaierror') > 0 OR position(error, 'unknownhost') > 0, 'connect',
            'error') AS outcome,
        -- How a call ended for an Envoy. What it gave up without a flag, it gave up with the request that it was made for.
        multiIf(
            empty(flags), '',
            hasAny(flags, {envoy_cut_off:Array(String)}), 'timeout',
            hasAny(flags, {envoy_not_connected:Array(String)}), 'connect',
            hasAny(flags, {envoy_turned_away:Array(String)}), 'rejected',
            hasAny(flags, {envoy_broken:Array(String)}), 'reset',
            hasAny(flags, {envoy_caller_gone:Array(String)}), 'cancelled',
            hasAny(flags, {envoy_not_sent:Array(String)}), 'not sent',
            SpanAttributes['canceled'] = 'true', 'given up',
            '') AS for_envoy,
        StatusCode = 'Error' OR SpanAttributes['error'] = 'true' AS failed,
        toUInt32OrZero(coalesce(nullIf(SpanAttributes['http.request.resend_count'], ''), SpanAttributes['retry.count'])) AS resend,
        if(Duration = 0, toInt32(-1000), toInt32(ceil(log2(Duration / 1e9) * 16)) - 1) AS cell,
        extract(TraceState, '(?:^|,)\\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,\\s]|$)') AS threshold,
        reinterpretAsUInt64(reverse(unhex(concat('00', rightPad(threshold, 14, '0'))))) AS rejected,
        least({max_weight:Float64}, 72057594037927936 / (72057594037927936 - rejected)) AS weight
    FROM otel_traces
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - toIntervalSecond({longest_s:UInt32})
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC')
        AND has({buckets:Array(UInt32)}, bucket)
        AND Duration <= toUInt64({longest_s:UInt32}) * 1000000000
        AND ScopeName != {scope:String}
        AND SpanKind IN ('Client', 'Server', 'Producer', 'Consumer')
    -- A sender that did not hear our answer sends its spans once more.
    LIMIT 1 BY TraceId, SpanId, SpanKind
),
up AS
(
    SELECT
        TraceId AS trace,
        SpanId AS span,
        any(if(ServiceName = '', 'unknown_service', ServiceName)) AS service,
        max(SpanKind IN ('Client', 'Producer')) AS calls,
        -- Of the request that an Envoy's attempt was made for.
        any(coalesce(nullIf(SpanAttributes['http.request.method'], ''), SpanAttributes['http.method'])) AS method,
        max(hasAny(splitByChar(',', SpanAttributes['response_flags']), {envoy_cut_off:Array(String)})) AS cut_off,
        max(ScopeName = {scope:String} AND SpanKind = 'Server') AS by_proxy,
        any(toUInt32(intDiv(toUnixTimestamp64Nano(Timestamp) + Duration, 10000000000) * 10)) AS bucket,
        count() AS known
    FROM otel_traces
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - toIntervalSecond({longest_s:UInt32} + {reach_s:UInt32})
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC') + toIntervalSecond({reach_s:UInt32})
        AND (TraceId, SpanId) IN (SELECT up_trace, up_span FROM own WHERE (NOT calls OR notEmpty(flags)) AND up_span != '')
    GROUP BY trace, span
),
down AS
(
    SELECT
        if(SpanKind = 'Consumer' AND notEmpty(`Links.SpanId`), `Links.TraceId`[1], TraceId) AS trace,
        if(SpanKind = 'Consumer' AND notEmpty(`Links.SpanId`), `Links.SpanId`[1], ParentSpanId) AS span,
        minIf(if(ServiceName = '', 'unknown_service', ServiceName), SpanKind IN ('Server', 'Consumer') AND ScopeName != {scope:String}) AS service,
        minIf(SpanAttributes['http.route'], SpanKind = 'Server' AND ScopeName != {scope:String}) AS route,
        -- A proxy on either side, or a library under the one that wrote the span: whose call it is, is told there.
        max(ScopeName = {scope:String}) AS by_proxy,
        max(ScopeName = {scope:String} OR SpanKind IN ('Client', 'Producer')) AS told_below,
        groupUniqArrayIf(16)(
            coalesce(nullIf(SpanAttributes['upstream_cluster.name'], ''), SpanAttributes['upstream_cluster']), SpanKind = 'Client') AS clusters,
        groupUniqArray(16)(toUInt32(intDiv(toUnixTimestamp64Nano(Timestamp) + Duration, 10000000000) * 10)) AS buckets
    FROM otel_traces
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - toIntervalSecond({longest_s:UInt32} + {reach_s:UInt32})
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC') + toIntervalSecond({reach_s:UInt32})
        AND SpanKind IN ('Client', 'Server', 'Producer', 'Consumer')
        AND (trace, span) IN (SELECT trace, span FROM own WHERE calls OR handed_on)
    GROUP BY trace, span
),
again AS
(
    SELECT
        TraceId AS trace,
        ParentSpanId AS parent,
        SpanAttributes['server.address'] AS address,
        max(toUInt32OrZero(coalesce(nullIf(SpanAttributes['http.request.resend_count'], ''), SpanAttributes['retry.count']))) AS last
    FROM otel_traces
    WHERE Timestamp >= toDateTime64({start:UInt32}, 9, 'UTC') - toIntervalSecond({longest_s:UInt32} + {reach_s:UInt32})
        AND Timestamp < toDateTime64({end:UInt32}, 9, 'UTC') + toIntervalSecond({reach_s:UInt32})
        AND SpanKind = 'Client'
        AND ScopeName != {scope:String}
        AND (SpanAttributes['http.request.resend_count'] != '' OR SpanAttributes['retry.count'] != '')
        AND (TraceId, ParentSpanId) IN (SELECT trace, parent FROM own WHERE calls AND parent != '')
    GROUP BY trace, parent, address
)
