-- Where raw ExportTraceServiceRequest bytes arrive first; nothing is kept here, the view behind it fills otel_traces.
-- The columns are the fields of otlp_schema/spans.proto, in which an attribute's value is left as bytes: that takes two
-- thirds of the time that reading every kind of value into a column of its own takes (mesh_landing_traces).
CREATE TABLE IF NOT EXISTS mesh_landing_spans
(
    resource_spans Array(Tuple(
        resource Tuple(attributes Array(Tuple(key String, value String))),
        scope_spans Array(Tuple(
            scope Tuple(name String, version String),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                trace_state String,
                parent_span_id String,
                name String,
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Array(Tuple(key String, value String)),
                events Array(Tuple(time_unix_nano UInt64, name String, attributes Array(Tuple(key String, value String)))),
                links Array(Tuple(trace_id String, span_id String, trace_state String, attributes Array(Tuple(key String, value String)))),
                status Tuple(message String, code Int32)))))))
)
ENGINE = Null
