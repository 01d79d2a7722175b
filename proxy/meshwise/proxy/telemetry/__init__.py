"""What a proxy tells the collector: records in, OTLP bytes out, off the hot path."""
