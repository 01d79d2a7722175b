-- Every silence that was not ended. No parameters. Columns: those of contracts.rows.Silence, in order.
SELECT at, id, actor, removed, starts_at, ends_at, every, zone, matchers, reason
FROM (SELECT * FROM mesh_silences ORDER BY at DESC LIMIT 1 BY id)
WHERE NOT removed AND (every != '' OR ends_at > now() - INTERVAL 7 DAY)
ORDER BY starts_at, id
LIMIT 10000
