"""Retraining: what may be trained, why, how far a run is, and what it cost. The work itself is `jobs.retrain`."""
