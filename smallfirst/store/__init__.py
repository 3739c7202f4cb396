"""store: database connection and migrations."""
