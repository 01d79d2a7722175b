-- What one insert writes is one file of data instead of hundreds: fewer to make and to sync, for it and for whoever waits
-- for the same disk. Merges make a file per column once a part has 256 MiB.
ALTER TABLE otel_traces MODIFY SETTING min_bytes_for_wide_part = 268435456
