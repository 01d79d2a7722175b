-- From when on the stretches of mesh_edge_totals are whole, in Unix seconds; 0 when they always were.
SELECT toUInt32(max(bucket)) FROM mesh_edge_totals WHERE seconds = 0
