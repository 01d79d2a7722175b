-- Fills otel_traces_trace_id_ts with the services, too; the bits of each are those of mesh_services.
CREATE OR REPLACE MATERIALIZED VIEW otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT
    TraceId,
    min(toDateTime(Timestamp, 'UTC')) AS Start,
    max(toDateTime(Timestamp, 'UTC')) AS End,
    groupBitOr(bitOr(bitOr(
        bitShiftLeft(toUInt64(1), bitAnd(cityHash64(ServiceName), 63)),
        bitShiftLeft(toUInt64(1), bitAnd(bitShiftRight(cityHash64(ServiceName), 6), 63))),
        bitShiftLeft(toUInt64(1), bitAnd(bitShiftRight(cityHash64(ServiceName), 12), 63)))) AS ServiceBits
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId
