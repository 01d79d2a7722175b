-- Fills mesh_services.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_services_mv TO mesh_services AS
SELECT ServiceName AS service, now('UTC') AS seen
FROM otel_traces
GROUP BY service
