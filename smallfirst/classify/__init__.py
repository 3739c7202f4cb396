"""classify: a query -> features -> complexity, kind and p_correct per model. Pure, microseconds."""
