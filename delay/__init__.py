"""The database-backed delay server."""
