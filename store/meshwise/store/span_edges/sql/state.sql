-- What settles each of some buckets, and the generation of its last write.
-- Parameters: buckets (Unix seconds), marker. Columns: bucket (Unix seconds), spans, exact, generation.
SELECT at, arrived.spans AS all_spans, counted.exact AS all_exact, noted.generation AS last_generation
FROM (SELECT arrayJoin({buckets:Array(UInt32)}) AS at, toDateTime(at, 'UTC') AS bucket) AS asked
LEFT JOIN
(
    SELECT bucket, sum(mesh_span_arrivals.spans) AS spans
    FROM mesh_span_arrivals
    WHERE bucket IN (SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}), 'UTC'))
    GROUP BY bucket
) AS arrived USING (bucket)
LEFT JOIN
(
    SELECT bucket, max(mesh_edge_spans_state.generation) AS generation
    FROM mesh_edge_spans_state
    WHERE bucket IN (SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}), 'UTC'))
    GROUP BY bucket
) AS noted USING (bucket)
LEFT JOIN
(
    SELECT toDateTime(toUnixTimestamp(bucket) + arrayJoin([-10, 0, 10]), 'UTC') AS bucket, sum(requests + attempts) AS exact
    FROM mesh_edge_10s
    WHERE bucket IN (SELECT toDateTime(arrayJoin({buckets:Array(UInt32)}) + arrayJoin([-10, 0, 10]), 'UTC')) AND instance != {marker:String}
    GROUP BY bucket
) AS counted USING (bucket)
ORDER BY at
