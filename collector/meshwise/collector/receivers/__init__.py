"""The doors: OTLP/HTTP (``http``) and OTLP/gRPC (``grpc``). They read, ask the pipeline, and answer."""
