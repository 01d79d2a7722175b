-- Note that a process of analytics is there. Parameters: holder, since_ms (Unix milliseconds; 0: it came just now), gone.
INSERT INTO mesh_leases (at, holder, since_ms, gone)
SELECT
    now64(3),
    {holder:String},
    if({since_ms:UInt64} = 0, toUnixTimestamp64Milli(now64(3)), toInt64({since_ms:UInt64})),
    {gone:Bool}
