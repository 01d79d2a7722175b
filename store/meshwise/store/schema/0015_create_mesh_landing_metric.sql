-- One row per metric on its way from mesh_landing_metrics to the otel_metrics_* tables: what all kinds share is
-- worked out once, before one view per kind takes its points. Nothing is kept here.
CREATE TABLE IF NOT EXISTS mesh_landing_metric
(
    ResourceAttributes Map(LowCardinality(String), String),
    ResourceSchemaUrl String,
    ScopeName String,
    ScopeVersion String,
    ScopeAttributes Map(LowCardinality(String), String),
    ScopeDroppedAttrCount UInt32,
    ScopeSchemaUrl String,
    MetricName String,
    MetricDescription String,
    MetricUnit String,
    AggregationTemporality Int32,
    IsMonotonic Bool,
    gauge_points Array(Tuple(
        start_time_unix_nano UInt64,
        time_unix_nano UInt64,
        as_double Nullable(Float64),
        as_int Nullable(Int64),
        exemplars Array(Tuple(
            time_unix_nano UInt64,
            as_double Nullable(Float64),
            as_int Nullable(Int64),
            span_id String,
            trace_id String,
            filtered_attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
                array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
                kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
                bytes_value Nullable(String)))))),
        flags UInt32,
        attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
            array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
            bytes_value Nullable(String)))))),
    sum_points Array(Tuple(
        start_time_unix_nano UInt64,
        time_unix_nano UInt64,
        as_double Nullable(Float64),
        as_int Nullable(Int64),
        exemplars Array(Tuple(
            time_unix_nano UInt64,
            as_double Nullable(Float64),
            as_int Nullable(Int64),
            span_id String,
            trace_id String,
            filtered_attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
                array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
                kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
                bytes_value Nullable(String)))))),
        flags UInt32,
        attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
            array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
            bytes_value Nullable(String)))))),
    histogram_points Array(Tuple(
        start_time_unix_nano UInt64,
        time_unix_nano UInt64,
        count UInt64,
        sum Float64,
        bucket_counts Array(UInt64),
        explicit_bounds Array(Float64),
        min Float64,
        max Float64,
        exemplars Array(Tuple(
            time_unix_nano UInt64,
            as_double Nullable(Float64),
            as_int Nullable(Int64),
            span_id String,
            trace_id String,
            filtered_attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
                array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
                kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
                bytes_value Nullable(String)))))),
        flags UInt32,
        attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
            array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
            bytes_value Nullable(String)))))),
    exponential_histogram_points Array(Tuple(
        start_time_unix_nano UInt64,
        time_unix_nano UInt64,
        count UInt64,
        sum Float64,
        scale Int32,
        zero_count UInt64,
        positive Tuple(offset Int32, bucket_counts Array(UInt64)),
        negative Tuple(offset Int32, bucket_counts Array(UInt64)),
        min Float64,
        max Float64,
        exemplars Array(Tuple(
            time_unix_nano UInt64,
            as_double Nullable(Float64),
            as_int Nullable(Int64),
            span_id String,
            trace_id String,
            filtered_attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
                array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
                kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
                bytes_value Nullable(String)))))),
        flags UInt32,
        attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
            array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
            bytes_value Nullable(String)))))),
    summary_points Array(Tuple(
        start_time_unix_nano UInt64,
        time_unix_nano UInt64,
        count UInt64,
        sum Float64,
        quantile_values Array(Tuple(quantile Float64, value Float64)),
        flags UInt32,
        attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64),
            array_value Tuple(values Array(Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String)))),
            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))))),
            bytes_value Nullable(String))))))
)
ENGINE = Null
