-- What both ends of an edge counted: attempts that callers sent, and requests that callees took in.
-- Parameters: start and end (Unix seconds, end excluded), source, destination (each '' for any), unsent (outcomes of
-- attempts that never reached the callee), derived (the instance of rows that no proxy counted).
-- Columns: sent, arrived.
SELECT
    sumIf(attempts, side = 'client' AND NOT has({unsent:Array(String)}, outcome)) AS sent,
    sumIf(requests, side = 'server') AS arrived
FROM mesh_edge_10s
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    AND instance != {derived:String}
    AND ({source:String} = '' OR source = {source:String})
    AND ({destination:String} = '' OR destination = {destination:String})
