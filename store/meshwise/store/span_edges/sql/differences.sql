-- What mesh_edge_spans should hold of the buckets, less what it holds. Values below zero are taken modulo 2^64.
-- Parameters, besides those of calls.sql: marker (the instance of derived rows), max_destinations per source and
-- max_routes per edge, by bucket; what is beyond goes to the destination 'other', or to no route.
,
exact AS
(
    SELECT DISTINCT toUInt32(toUnixTimestamp(bucket)) + arrayJoin([-10, 0, 10]) AS bucket, source, destination, side
    FROM mesh_edge_10s
    WHERE bucket >= toDateTime({start:UInt32}, 'UTC') - INTERVAL 10 SECOND
        AND bucket < toDateTime({end:UInt32}, 'UTC') + INTERVAL 10 SECOND
        AND instance != {marker:String}
),
told AS
(
    SELECT
        own.bucket AS bucket,
        is_client,
        if(is_client, own.service, if(up.known > 0, up.service, 'unknown')) AS source,
        multiIf(NOT is_client, own.service, down.service != '', down.service, own.peer) AS destination,
        is_client AND down.service = '' AS virtual,
        if(own.route = '' AND is_client, down.route, own.route) AS route,
        if(own.method = '' AND notEmpty(own.flags), up.method, own.method) AS method,
        multiIf(
            own.for_envoy = 'cancelled', 'cancelled',
            NOT is_client OR own.for_envoy = '', own.outcome,
            own.for_envoy != 'given up', own.for_envoy,
            own.status > 0, own.outcome,
            up.cut_off = 1, 'timeout',
            'cancelled') AS outcome,
        own.weight AS weight,
        own.cell AS cell,
        own.resend > 0 AS repeated,
        -- A failed attempt that was repeated is no request of its own; the last one is what the caller got.
        NOT is_client OR again.last = 0 OR own.resend = again.last OR (NOT own.failed AND own.resend = 0) AS logical
    FROM own
    ARRAY JOIN if(own.handed_on, [0, 1], [toUInt8(own.calls)]) AS is_client
    LEFT JOIN up ON own.up_trace = up.trace AND own.up_span = up.span
    LEFT JOIN down ON own.trace = down.trace AND own.span = down.span
    LEFT JOIN again ON own.trace = again.trace AND own.parent = again.parent AND own.address = again.address
    WHERE if(
        is_client,
        -- An Envoy's request is told by its attempts where it wrote spans of these, and is no call when it answered by
        -- itself or its own application did.
        own.for_envoy != 'not sent' AND (empty(own.flags) OR extract(own.cluster, {envoy_service:String}) != '')
            AND if(
                own.handed_on,
                down.by_proxy = 0 AND NOT has(down.clusters, own.cluster)
                    AND destination != source,
                down.told_below = 0)
            AND (own.bucket, own.service, destination) NOT IN (SELECT bucket, source, destination FROM exact WHERE side = 'client')
            AND (own.bucket, destination) NOT IN (SELECT bucket, destination FROM exact WHERE side = 'server'),
        -- Not what a proxy handed on, nor an inner span of the same request.
        up.by_proxy = 0 AND NOT (up.known > 0 AND up.calls = 0 AND up.service = own.service)
            AND (own.bucket, own.service) NOT IN (SELECT bucket, destination FROM exact WHERE side = 'server')
            -- Its caller's span is missing: it may be one that a proxy counted.
            AND NOT (own.up_span != '' AND up.known = 0
                AND (own.bucket, own.service) IN (SELECT bucket, destination FROM exact WHERE side = 'client')))
),
ranked AS
(
    SELECT
        *,
        if(virtual, dense_rank() OVER (PARTITION BY bucket, source ORDER BY virtual, to_destination DESC, destination), 0) AS destination_rank,
        dense_rank() OVER (PARTITION BY bucket, source, destination ORDER BY on_route DESC, route) AS route_rank
    FROM
    (
        SELECT
            *,
            if(virtual, sum(attempts + requests) OVER (PARTITION BY bucket, source, destination, virtual), 0) AS to_destination,
            sum(attempts + requests) OVER (PARTITION BY bucket, source, destination, route) AS on_route
        FROM
        (
            SELECT
                bucket, source, destination, virtual, route, method, is_client, outcome,
                sumIf(weight, logical) AS requests,
                sumIf(weight, is_client) AS attempts,
                sumIf(weight, repeated) AS retries,
                sumMapIf(map(cell, weight), logical) AS latency
            FROM told
            GROUP BY bucket, source, destination, virtual, route, method, is_client, outcome
        )
    )
)
SELECT
    toDateTime(bucket, 'UTC') AS bucket_at, source, destination, route, method, side, outcome,
    sum(d_requests) AS requests, sum(d_attempts) AS attempts, sum(d_retries) AS retries, sumMap(d_latency) AS latency
FROM
(
    SELECT
        bucket,
        source,
        if(destination_rank > {max_destinations:UInt32}, 'other', destination) AS destination,
        if(route_rank > {max_routes:UInt32}, '', route) AS route,
        method,
        if(is_client, 'client', 'server') AS side,
        outcome,
        toUInt64(round(sum(ranked.requests))) AS d_requests,
        toUInt64(round(sum(ranked.attempts))) AS d_attempts,
        toUInt64(round(sum(ranked.retries))) AS d_retries,
        mapApply((index, n) -> (index, toUInt64(round(n))), sumMap(ranked.latency)) AS d_latency
    FROM ranked
    GROUP BY bucket, source, destination, route, method, side, outcome
    UNION ALL
    SELECT
        toUInt32(toUnixTimestamp(mesh_edge_spans.bucket)) AS bucket,
        source, destination, route, method, side, outcome,
        bitNot(sum(mesh_edge_spans.requests)) + 1 AS d_requests,
        bitNot(sum(mesh_edge_spans.attempts)) + 1 AS d_attempts,
        bitNot(sum(mesh_edge_spans.retries)) + 1 AS d_retries,
        mapApply((index, n) -> (index, bitNot(n) + 1), sumMap(mesh_edge_spans.latency)) AS d_latency
    FROM mesh_edge_spans
    WHERE mesh_edge_spans.bucket IN (SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}), 'UTC'))
    GROUP BY bucket, source, destination, route, method, side, outcome
)
GROUP BY bucket, source, destination, route, method, side, outcome
HAVING requests != 0 OR attempts != 0 OR retries != 0 OR arrayExists(n -> n != 0, mapValues(latency))
ORDER BY bucket, source, destination, route, method, side, outcome
