"""A knowledge base: documents -> passages that can be searched, and answers from them with citations; it knows when it
can't."""
