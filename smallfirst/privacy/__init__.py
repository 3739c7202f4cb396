"""privacy: the data class of a query, and the permits that say which replicas may see it."""
