"""The spool: what was acknowledged and is not yet in the store, as files that survive a crash.

``segment``    the file format: header, checksummed records; pure functions on bytes
``writer``     one per signal: appends records, one fdatasync for all that wait, seals by size and age
``directory``  the directory: its lock, its identity, names of segments, disk space
``recovery``   what a start finds: torn ends cut off and counted, every whole record kept
``backlog``    sealed segments waiting for the inserter
"""
