-- Every series of a window, with the number by which the other two queries call it, and when it was first measured.
SELECT source, destination, route, method, cityHash64(source, destination, route, method) AS series, min(bucket) AS since
FROM rollups
GROUP BY source, destination, route, method
-- What was derived from spans may have been taken back.
HAVING sum(requests) > 0 OR sum(attempts) > 0 OR sum(retries) > 0 OR sum(retries_denied) > 0
ORDER BY source, destination, route, method
LIMIT {most:UInt32}
