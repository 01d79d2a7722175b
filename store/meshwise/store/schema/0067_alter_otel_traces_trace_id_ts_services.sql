-- In which services a trace may have spans: the bits of each together (mesh_services). otel_traces is ordered by service, so
-- a reader who names them finds the trace in a few granules. All bits are set where nobody knows: in what was written before
-- this column, or by another writer; and in a trace of a great many services, which may as well be looked for in all.
ALTER TABLE otel_traces_trace_id_ts
    ADD COLUMN IF NOT EXISTS ServiceBits SimpleAggregateFunction(groupBitOr, UInt64) DEFAULT 18446744073709551615 CODEC(ZSTD(1))
