"""evals: a data set and policies -> a report; only evals and learn see scores beside outcomes."""
