-- Buckets to work out, the newest first: spans have come since they were last worked out, or counts of proxies (looked
-- at for recent buckets only), or their last change was not yet looked at again.
-- Parameters: earliest, latest and exact_since (Unix seconds, multiples of 10), marker, max_buckets.
SELECT toUInt32(toUnixTimestamp(bucket)) AS at
FROM
(
    SELECT bucket, sum(mesh_span_arrivals.spans) AS spans
    FROM mesh_span_arrivals
    WHERE bucket >= toDateTime({earliest:UInt32}, 'UTC') AND bucket <= toDateTime({latest:UInt32}, 'UTC')
    GROUP BY bucket
) AS arrived
LEFT JOIN
(
    SELECT
        bucket,
        argMax(mesh_edge_spans_state.spans, mesh_edge_spans_state.generation) AS spans,
        argMax(mesh_edge_spans_state.exact, mesh_edge_spans_state.generation) AS exact
    FROM mesh_edge_spans_state
    WHERE bucket >= toDateTime({earliest:UInt32}, 'UTC')
    GROUP BY bucket
) AS noted USING (bucket)
LEFT JOIN
(
    SELECT toDateTime(toUnixTimestamp(bucket) + arrayJoin([-10, 0, 10]), 'UTC') AS bucket, sum(requests + attempts) AS exact
    FROM mesh_edge_10s
    WHERE bucket >= toDateTime({exact_since:UInt32}, 'UTC') AND instance != {marker:String}
        -- Where every service has its proxy there is nothing to compare with.
        AND (SELECT count() FROM mesh_span_arrivals WHERE bucket >= toDateTime({exact_since:UInt32}, 'UTC')) > 0
    GROUP BY bucket
) AS counted USING (bucket)
WHERE arrived.spans != noted.spans OR (at > {exact_since:UInt32} + 10 AND counted.exact != noted.exact)
ORDER BY at DESC
LIMIT {max_buckets:UInt32}
