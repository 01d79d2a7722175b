-- The spans of one trace: SELECT … FROM mesh_trace(trace_id = '…'). It asks otel_traces_trace_id_ts when the trace was and by
-- which services it may have gone, and looks no further than there. The last second is one that has begun: the engine takes
-- "< second" for "<= the second before", and would pass over what lies between.
CREATE VIEW IF NOT EXISTS mesh_trace AS
WITH
    (
        SELECT (min(Start), max(End) + INTERVAL 1 SECOND, groupBitOr(ServiceBits))
        FROM otel_traces_trace_id_ts
        WHERE TraceId = {trace_id:String}
    ) AS told,
    (
        SELECT groupUniqArray(service)
        FROM mesh_services
        WHERE bitAnd(bits, bitNot(told.3)) = 0
    ) AS services
SELECT *
FROM otel_traces
WHERE TraceId = {trace_id:String} AND Timestamp >= told.1 AND Timestamp <= told.2
    AND (told.3 = 18446744073709551615 OR has(services, ServiceName))
