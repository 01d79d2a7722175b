"""The schema history: ``NNNN_name.sql``, one statement each, forward only. ``meshwise.store.migrations`` runs it."""
