-- Silences that were not ended, the newest first.
-- Parameters: limit. Columns: those of Silence.
SELECT *
FROM (SELECT * FROM mesh_silences ORDER BY at DESC LIMIT 1 BY id)
WHERE NOT removed AND (every != '' OR ends_at > now())
ORDER BY starts_at DESC
LIMIT {limit:UInt32}
