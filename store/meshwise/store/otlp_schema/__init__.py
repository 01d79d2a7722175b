"""OTLP as ClickHouse's Protobuf reader takes it: one flat schema text per signal."""
