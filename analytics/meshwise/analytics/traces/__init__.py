"""Single traces: read from files or the store, put together, and asked where the time went.

model      spans, and traces put together from them whatever is wrong with them
jaeger     Jaeger's JSON as spans
otlp       OTLP's JSON as spans, and spans as OTLP's JSON
files      whichever of both a file is
load       traces of a window from the store
critical   the critical path of a trace, slack, and both per route
calls      who called whom, nodes without a proxy of their own, and what nobody waited for
deadlines  callers that gave up while the callee went on; timeouts and retries that do not fit into each other
"""
