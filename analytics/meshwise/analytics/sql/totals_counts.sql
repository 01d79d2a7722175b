-- Counts of a window, of all buckets of time at once, over rows that analytics.totals puts before it: one row per edge,
-- side and outcome. The three are one number, which is added up by in half the time of three: the edge's hash above four
-- bits, of which the highest is the side and the others the outcome's place in {outcomes}, or that of "error".
SELECT
    bitOr(bitShiftLeft(cityHash64(source, destination), 4), toUInt8((side != 'client') * 8 + if(place = 0, 2, place) - 1)) AS told,
    any(source) AS caller,
    any(destination) AS callee,
    min(since) AS first_seen,
    sum(requests) AS all_requests,
    sum(attempts) AS all_attempts,
    sum(retries) AS all_retries,
    sum(retries_denied) AS all_denied
FROM (SELECT *, indexOf({outcomes:Array(String)}, outcome) AS place FROM totals)
GROUP BY told
-- What was derived from spans may have been taken back.
HAVING all_requests > 0 OR all_attempts > 0 OR all_retries > 0 OR all_denied > 0
SETTINGS max_result_rows = 10000000
