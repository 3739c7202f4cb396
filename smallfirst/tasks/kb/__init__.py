"""kb: documents -> passages that can be searched, and answers from them with citations."""
