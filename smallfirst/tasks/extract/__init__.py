"""extraction: named fields of a document, where each stands in it, how sure that is, and who is asked for the rest."""
