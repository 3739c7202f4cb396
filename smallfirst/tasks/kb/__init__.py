"""A knowledge base that answers with citations, and knows when it can't."""
