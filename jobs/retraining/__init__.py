"""What the steps of `jobs.retrain` do, one file a step or two."""
