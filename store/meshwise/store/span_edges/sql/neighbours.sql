-- Buckets besides the ones asked for that hold the other end of a call: what they say may change with it.
SELECT DISTINCT bucket
FROM
(
    SELECT bucket FROM up
    UNION ALL
    SELECT arrayJoin(buckets) AS bucket FROM down
)
WHERE NOT has({buckets:Array(UInt32)}, bucket)
ORDER BY bucket
