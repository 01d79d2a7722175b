-- A store that has a past does not get it added up anew: what came before the views above, or at the same time, stays
-- in the hours and minutes, and is read from there.
INSERT INTO mesh_edge_totals (seconds, bucket)
SELECT 0, toStartOfHour(now('UTC')) + 7200
FROM mesh_edge_1h
HAVING count() > 0
