-- Rows of the newest analysis cycle not younger than {at:DateTime64(3)}.
-- Parameters: at. Columns: those of the row type.
SELECT *
FROM mesh_findings_slos
WHERE computed_at = (
    SELECT max(computed_at) FROM mesh_findings_slos WHERE computed_at <= {at:DateTime64(3)} AND computed_at > {at:DateTime64(3)} - INTERVAL 1 DAY
)
