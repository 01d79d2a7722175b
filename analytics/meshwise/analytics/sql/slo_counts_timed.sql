-- As slo_counts, for signals that ask how long a request took.
-- Parameters besides: positions (one per signal: 16 x log2 of the threshold in seconds), waits (hashes of destination,
-- route and method that wait by design), heeded (per signal: 1 when those are left out).
-- Columns: id, bucket_start, total, passed, fast and timed (of the latter's latencies: those in time, and all).
WITH told AS (
    SELECT source, destination, intDiv(toUnixTimestamp(bucket), {told_s:UInt32}) AS stretch
    FROM {table:Identifier}
    WHERE bucket >= toDateTime({told_since:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
        AND side = 'client' AND requests > 0
    GROUP BY source, destination, stretch
)
SELECT
    signals.id AS id,
    intDiv(toUnixTimestamp(bucket), {step_s:UInt32}) * {step_s:UInt32} AS bucket_start,
    sum(requests) AS total,
    sumIf(requests, has(signals.good, outcome)) AS passed,
    -- The bucket that holds the threshold counts in proportion, as in contracts.histogram.share_at_most.
    sum(if(has(signals.good, outcome), arraySum(
        (index, count) -> count * least(1., greatest(0., signals.position - index)), mapKeys(latency), mapValues(latency)
    ), 0.)) AS fast,
    sum(if(has(signals.good, outcome), arraySum(mapValues(latency)), 0)) AS timed
FROM {table:Identifier} AS edges
INNER JOIN (
    SELECT s.1 AS id, s.2 AS wanted, s.3 AS caller, s.4 AS path, s.5 AS verbs, s.6 AS judged, s.7 AS good,
        s.8 AS position, s.9 AS heeds
    FROM (
        SELECT arrayJoin(arrayZip(
            {ids:Array(UInt32)}, {destinations:Array(String)}, {sources:Array(String)}, {routes:Array(String)},
            {methods:Array(Array(String))}, {judged:Array(Array(String))}, {good:Array(Array(String))},
            {positions:Array(Float64)}, {heeded:Array(UInt8)}
        )) AS s
    )
) AS signals ON edges.destination = signals.wanted
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    AND destination IN {destinations:Array(String)}
    AND (side = 'client'
        OR (source, destination, intDiv(toUnixTimestamp(bucket), {told_s:UInt32})) NOT IN (SELECT * FROM told))
    AND (signals.caller = '' OR source = signals.caller)
    AND (signals.path = '' OR route = signals.path)
    AND (empty(signals.verbs) OR has(signals.verbs, method))
    AND has(signals.judged, outcome)
    AND NOT (signals.heeds AND cityHash64(destination, route, method) IN {waits:Array(UInt64)})
GROUP BY id, bucket_start
