-- Rollup rows of whole edges: like rollups for a world of a single bucket, from the fewest rows that add up to it. The
-- ranges it is given are cut further: of the minutes, whole tens are read from mesh_edge_totals, and of the hours all,
-- six at a time where six fit. What came before that table was kept (whole_from) is read as rollups does.
WITH
    (SELECT toUInt32(max(bucket)) FROM mesh_edge_totals WHERE seconds = 0) AS whole_from,
    -- [hour_start, hours) of mesh_edge_1h, [hours, six_start) and [six_end, hour_end) of hours, between them six.
    greatest({hour_start:UInt32}, least({hour_end:UInt32}, whole_from)) AS hours,
    intDiv(hours + 21599, 21600) * 21600 AS six_from,
    intDiv({hour_end:UInt32}, 21600) * 21600 AS six_to,
    if(six_from < six_to, six_from, {hour_end:UInt32}) AS six_start,
    if(six_from < six_to, six_to, {hour_end:UInt32}) AS six_end,
    -- Tens of minutes before the hours, and after them.
    least({hour_start:UInt32}, intDiv(greatest({minute_start:UInt32}, whole_from) + 599, 600) * 600) AS early_start,
    greatest(early_start, intDiv({hour_start:UInt32}, 600) * 600) AS early_end,
    least({minute_end:UInt32}, intDiv(greatest({hour_end:UInt32}, whole_from) + 599, 600) * 600) AS late_start,
    greatest(late_start, intDiv({minute_end:UInt32}, 600) * 600) AS late_end,
rollups AS
(
    SELECT since AS bucket, source, destination, '' AS route, '' AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_totals AS kept
    WHERE side IN {sides:Array(String)} AND (
        (seconds = 21600 AND kept.bucket >= toDateTime(six_start, 'UTC') AND kept.bucket < toDateTime(six_end, 'UTC'))
        OR (seconds = 3600 AND kept.bucket >= toDateTime(hours, 'UTC') AND kept.bucket < toDateTime(six_start, 'UTC'))
        OR (seconds = 3600 AND kept.bucket >= toDateTime(six_end, 'UTC') AND kept.bucket < toDateTime({hour_end:UInt32}, 'UTC'))
        OR (seconds = 600 AND kept.bucket >= toDateTime(early_start, 'UTC') AND kept.bucket < toDateTime(early_end, 'UTC'))
        OR (seconds = 600 AND kept.bucket >= toDateTime(late_start, 'UTC') AND kept.bucket < toDateTime(late_end, 'UTC')))
    UNION ALL
    SELECT bucket, source, destination, '' AS route, '' AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_1h
    WHERE side IN {sides:Array(String)} AND bucket >= toDateTime({hour_start:UInt32}, 'UTC') AND bucket < toDateTime(hours, 'UTC')
    UNION ALL
    SELECT bucket, source, destination, '' AS route, '' AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_1m
    WHERE side IN {sides:Array(String)} AND (
        (bucket >= toDateTime({minute_start:UInt32}, 'UTC') AND bucket < toDateTime(early_start, 'UTC'))
        OR (bucket >= toDateTime(early_end, 'UTC') AND bucket < toDateTime({hour_start:UInt32}, 'UTC'))
        OR (bucket >= toDateTime({hour_end:UInt32}, 'UTC') AND bucket < toDateTime(late_start, 'UTC'))
        OR (bucket >= toDateTime(late_end, 'UTC') AND bucket < toDateTime({minute_end:UInt32}, 'UTC')))
    UNION ALL
    SELECT bucket, source, destination, '' AS route, '' AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_10s
    WHERE side IN {sides:Array(String)} AND (
        (bucket >= toDateTime({fine_start:UInt32}, 'UTC') AND bucket < toDateTime({minute_start:UInt32}, 'UTC'))
        OR (bucket >= toDateTime({minute_end:UInt32}, 'UTC') AND bucket < toDateTime({fine_end:UInt32}, 'UTC')))
)
