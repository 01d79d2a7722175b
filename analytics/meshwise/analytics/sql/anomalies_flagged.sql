-- When edges were anomalous, as found in earlier cycles, a row per edge and minute. Parameters: start, end (Unix seconds).
SELECT source, destination, min(window_start) AS first, max(window_end) AS last
FROM mesh_findings_anomalies
WHERE flagged AND computed_at >= fromUnixTimestamp64Milli(toInt64({start:Float64} * 1000))
    AND computed_at < fromUnixTimestamp64Milli(toInt64({end:Float64} * 1000))
GROUP BY source, destination, toStartOfMinute(window_end)
ORDER BY source, destination, first
