-- Judged requests per selector and bucket, where nobody asks how long a request took.
-- Parameters: table (a rollup of contracts.rows), start, end (Unix seconds, end excluded), step_s; told_since (Unix
-- seconds) and told_s: an edge is believed of its caller in every stretch of told_s in which the caller reported;
-- one entry per selector in ids, destinations, sources, routes ('' for any), methods (empty for any), judged and good.
-- Columns: id, bucket_start (Unix seconds), total (judged), passed (of those, with a good outcome).
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
    sumIf(requests, has(selectors.good, outcome)) AS passed
FROM {table:Identifier} AS edges
INNER JOIN (
    SELECT s.1 AS id, s.2 AS wanted, s.3 AS caller, s.4 AS path, s.5 AS verbs, s.6 AS judged, s.7 AS good
    FROM (
        SELECT arrayJoin(arrayZip(
            {ids:Array(UInt32)}, {destinations:Array(String)}, {sources:Array(String)}, {routes:Array(String)},
            {methods:Array(Array(String))}, {judged:Array(Array(String))}, {good:Array(Array(String))}
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
GROUP BY id, bucket_start
