"""What a proxy tells the collector: records in, OTLP bytes out, sent off the hot path."""
