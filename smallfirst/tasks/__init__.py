"""tasks: triage: jobs that small models do well, and that know when to hand up."""
