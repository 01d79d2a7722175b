-- As slo_counts, and how many of the good requests were in time.
-- Parameters besides: positions (per selector, of each of its thresholds: 16 x log2 of the seconds), waits (hashes of
-- destination, route and method that wait by design), heeded (per selector: 1 when those are left out).
-- Columns: id, bucket_start, total, passed, then of the latter's latencies: fast (per threshold) and timed (all).
WITH told AS (
    SELECT source, destination, intDiv(toUnixTimestamp(bucket), {told_s:UInt32}) AS stretch
    FROM {table:Identifier}
    WHERE bucket >= toDateTime({told_since:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
        AND side = 'client' AND requests > 0
    GROUP BY source, destination, stretch
)
SELECT
    selectors.id AS id,
    intDiv(toUnixTimestamp(bucket), {step_s:UInt32}) * {step_s:UInt32} AS bucket_start,
    sum(requests) AS total,
    sumIf(requests, has(selectors.good, outcome)) AS passed,
    -- The bucket that holds the threshold counts in proportion, as in contracts.histogram.share_at_most.
    sumForEachIf(arrayMap(position -> arraySum(
        (index, count) -> count * least(1., greatest(0., position - index)), mapKeys(latency), mapValues(latency)
    ), selectors.positions), has(selectors.good, outcome)) AS fast,
    sumIf(arraySum(mapValues(latency)), has(selectors.good, outcome) AND notEmpty(selectors.positions)) AS timed
FROM {table:Identifier} AS edges
INNER JOIN (
    SELECT s.1 AS id, s.2 AS wanted, s.3 AS caller, s.4 AS path, s.5 AS verbs, s.6 AS judged, s.7 AS good,
        s.8 AS positions, s.9 AS heeds
    FROM (
        SELECT arrayJoin(arrayZip(
            {ids:Array(UInt32)}, {destinations:Array(String)}, {sources:Array(String)}, {routes:Array(String)},
            {methods:Array(Array(String))}, {judged:Array(Array(String))}, {good:Array(Array(String))},
            {positions:Array(Array(Float64))}, {heeded:Array(UInt8)}
        )) AS s
    )
) AS selectors ON edges.destination = selectors.wanted
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    AND destination IN {destinations:Array(String)}
    AND (side = 'client'
        OR (source, destination, intDiv(toUnixTimestamp(bucket), {told_s:UInt32})) NOT IN (SELECT * FROM told))
    AND (selectors.caller = '' OR source = selectors.caller)
    AND (selectors.path = '' OR route = selectors.path)
    AND (empty(selectors.verbs) OR has(selectors.verbs, method))
    AND has(selectors.judged, outcome)
    AND NOT (selectors.heeds AND cityHash64(destination, route, method) IN {waits:Array(UInt64)})
GROUP BY id, bucket_start
