"""learn: fits what classify ships, from recorded outcomes (needs the extra: smallfirst[learn])."""
