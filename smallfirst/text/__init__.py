"""text: documents -> text, text -> vectors."""
