-- What proxies say a candidate would have done with the attempts they made, per proxy, block and kind of verdict.
-- Parameters: start and end (Unix seconds, end excluded), source, destination (each '' for any), version (of the
-- candidate, as text).
-- Columns: bucket_start (Unix seconds), instance, outcome, cut, retried, denied, skipped, attempts.
SELECT
    intDiv(toUnixTimestamp(StartTimeUnix), 10) * 10 AS bucket_start,
    ResourceAttributes['service.instance.id'] AS instance,
    Attributes['meshwise.outcome'] AS outcome,
    Attributes['meshwise.shadow.timeout'] AS cut,
    Attributes['meshwise.shadow.retry'] != '' AS retried,
    Attributes['meshwise.shadow.denied'] AS denied,
    Attributes['meshwise.shadow.skipped'] = 'true' AS skipped,
    toUInt64(sum(Value)) AS attempts
FROM otel_metrics_sum
WHERE MetricName = 'meshwise.shadow.attempts' AND ScopeName = 'meshwise.proxy' AND AggregationTemporality = 1
    AND StartTimeUnix >= toDateTime({start:UInt32}, 'UTC') AND StartTimeUnix < toDateTime({end:UInt32}, 'UTC')
    AND TimeUnix >= toDateTime({start:UInt32}, 'UTC')
    AND Value >= 0 AND Value < 1e15
    AND ({source:String} = '' OR (ServiceName = {source:String} AND Attributes['meshwise.source'] = {source:String}))
    AND ({destination:String} = '' OR Attributes['meshwise.destination'] = {destination:String})
    AND Attributes['meshwise.shadow.version'] = {version:String}
GROUP BY bucket_start, instance, outcome, cut, retried, denied, skipped
ORDER BY bucket_start, instance, outcome, cut, retried, denied, skipped
