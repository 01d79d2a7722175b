-- Versions that a service's telemetry, or a policy, was first seen with in a window, but for those it began with.
-- Parameters: start and end (Unix seconds).
SELECT service, version, at
FROM
(
    SELECT ServiceName AS service, ResourceAttributes['service.version'] AS version, toDateTime(min(TimeUnix), 'UTC') AS at
    FROM otel_metrics_sum
    WHERE TimeUnix >= toDateTime({start:UInt32}, 'UTC') AND TimeUnix < toDateTime({end:UInt32}, 'UTC')
        AND ResourceAttributes['service.version'] != ''
    GROUP BY service, version
    UNION ALL
    SELECT destination AS service, concat('policy ', toString(policy_version)) AS version, min(bucket) AS at
    FROM mesh_edge_10s
    WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC') AND policy_version > 0
    GROUP BY service, version
)
WHERE at >= toDateTime({start:UInt32} + 60, 'UTC')
ORDER BY at, service, version
