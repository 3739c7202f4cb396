"""triage: which label a document gets, how sure that is, and who is asked when it is not."""
