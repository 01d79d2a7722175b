-- The query of the version before, in a view made anew. The engine counts how often a view was altered, forgets it when
-- it is started again, and makes the count part of what it remembers an insert by: a segment that was stored before a
-- restart and sent again after it was there twice. A view that was replaced begins with no changes, as after a restart.
CREATE OR REPLACE MATERIALIZED VIEW mesh_landing_spans_mv TO otel_traces AS
WITH
    -- v is an AnyValue in bytes: a tag (10 text, 16 boolean, 24 integer, 33 double), then the number, or a length and the
    -- text. w is the machine word it begins with: the tag in its lowest byte, what comes behind in the next.
    -- The integer in the n bytes behind the tag, of which p begins with at most seven: all but the last have their high bit set.
    (n, p) -> toString(toInt64(bitOr(
        bitOr(bitOr(bitAnd(p, 0x7f), bitAnd(bitShiftRight(p, 1), 0x3f80)), bitOr(bitAnd(bitShiftRight(p, 2), 0x1fc000), bitAnd(bitShiftRight(p, 3), 0xfe00000))),
        bitOr(
            bitOr(bitOr(bitAnd(bitShiftRight(p, 4), 0x7f0000000), bitAnd(bitShiftRight(p, 5), 0x3f800000000)), bitAnd(bitShiftRight(p, 6), 0x1fc0000000000)),
            throwIf(bitAnd(p, 0x80808080808080) != bitAnd(0x80808080808080, bitShiftLeft(toUInt64(1), 8 * (n - 1)) - 1), 'unusual value'))))) AS short_integer,
    -- Any other integer: q is the word behind the tag.
    (v, q) -> bitOr(
        bitOr(bitOr(bitAnd(q, 0x7f), bitAnd(bitShiftRight(q, 1), 0x3f80)), bitOr(bitAnd(bitShiftRight(q, 2), 0x1fc000), bitAnd(bitShiftRight(q, 3), 0xfe00000))),
        bitOr(
            bitOr(bitOr(bitAnd(bitShiftRight(q, 4), 0x7f0000000), bitAnd(bitShiftRight(q, 5), 0x3f800000000)), bitOr(bitAnd(bitShiftRight(q, 6), 0x1fc0000000000), bitAnd(bitShiftRight(q, 7), 0xfe000000000000))),
            bitOr(bitShiftLeft(toUInt64(bitAnd(ascii(substring(v, 10)), 0x7f)), 56), bitShiftLeft(toUInt64(bitAnd(ascii(substring(v, 11)), 1)), 63)))) AS varint,
    (v, n, q) -> if(n < 9,
        n > 0 AND bitAnd(q, 0x8080808080808080) = bitAnd(0x8080808080808080, bitShiftLeft(toUInt64(1), 8 * (n - 1)) - 1),
        n < 11 AND bitAnd(q, 0x8080808080808080) = 0x8080808080808080 AND (ascii(substring(v, 10)) > 127) = (n = 10) AND ascii(substring(v, 11)) < 128) AS is_varint,
    (v, q) -> toString(reinterpretAsInt64(bitOr(varint(v, q), throwIf(NOT is_varint(v, length(v) - 1, q), 'unusual value')))) AS long_integer,
    v -> toString(reinterpretAsFloat64(substring(v, 2 + throwIf(length(v) != 9, 'unusual value')))) AS double_text,
    -- The two or three bytes that the length of a text of so many bytes takes.
    n -> bitOr(bitOr(bitAnd(n, 0x7f), 0x80), bitShiftLeft(bitShiftRight(n, 7), 8)) AS length_2,
    n -> bitOr(bitOr(bitOr(bitAnd(n, 0x7f), 0x8080), bitShiftLeft(bitAnd(bitShiftRight(n, 7), 0x7f), 8)), bitShiftLeft(bitShiftRight(n, 14), 16)) AS length_3,
    v -> if(length(v) < 16387,
        substring(v, 4 + throwIf(reinterpretAsUInt16(substring(v, 2, 2)) != length_2(length(v) - 3), 'unusual value')),
        substring(v, 5 + throwIf(length(v) > 2097155 OR reinterpretAsUInt32(substring(v, 2, 3)) != length_3(length(v) - 4), 'unusual value'))) AS long_text,
    (v, tag) -> multiIf(
        tag = 24, long_integer(v, reinterpretAsUInt64(substring(v, 2, 8))),
        tag = 33, double_text(v),
        tag = 10, long_text(v),
        substring(v, 1 + throwIf(v != '', 'unusual value'))) AS rare_text,
    (v, w) -> multiIf(
        bitAnd(w, 0xffff) = 256 * length(substring(v, 3)) + 10 AND length(v) BETWEEN 2 AND 129, substring(v, 3),
        bitAnd(w, 0xff) = 24 AND length(v) BETWEEN 2 AND 8, short_integer(length(v) - 1, bitShiftRight(w, 8)),
        w = 272 AND length(v) = 2, 'true',
        w = 16 AND length(v) = 2, 'false',
        rare_text(v, bitAnd(w, 0xff))) AS text_by_word,
    v -> text_by_word(v, reinterpretAsUInt64(v)) AS value_text,
    a -> CAST((tupleElement(a, 'key'), arrayMap(v -> value_text(v), tupleElement(a, 'value'))), 'Map(LowCardinality(String), String)') AS attribute_map
SELECT
    fromUnixTimestamp64Nano(toInt64(span.start_time_unix_nano), 'UTC') AS Timestamp,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    if(span.kind BETWEEN 0 AND 5, ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'][span.kind + 1], 'Unspecified') AS SpanKind,
    resource_map['service.name'] AS ServiceName,
    resource_map AS ResourceAttributes,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    attribute_map(span.attributes) AS SpanAttributes,
    if(span.end_time_unix_nano > span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano, 0) AS Duration,
    if(span.status.code BETWEEN 0 AND 2, ['Unset', 'Ok', 'Error'][span.status.code + 1], 'Unset') AS StatusCode,
    span.status.message AS StatusMessage,
    arrayMap(one -> fromUnixTimestamp64Nano(toInt64(one.time_unix_nano), 'UTC'), span.events) AS `Events.Timestamp`,
    arrayMap(one -> one.name, span.events) AS `Events.Name`,
    arrayMap(one -> attribute_map(one.attributes), span.events) AS `Events.Attributes`,
    arrayMap(one -> lower(hex(one.trace_id)), span.links) AS `Links.TraceId`,
    arrayMap(one -> lower(hex(one.span_id)), span.links) AS `Links.SpanId`,
    arrayMap(one -> one.trace_state, span.links) AS `Links.TraceState`,
    arrayMap(one -> attribute_map(one.attributes), span.links) AS `Links.Attributes`
FROM
(
    SELECT resource_map, scoped.scope.name AS scope_name, scoped.scope.version AS scope_version, arrayJoin(scoped.spans) AS span
    FROM
    (
        SELECT attribute_map(res.resource.attributes) AS resource_map, arrayJoin(res.scope_spans) AS scoped
        FROM (SELECT arrayJoin(resource_spans) AS res FROM mesh_landing_spans)
    )
)
