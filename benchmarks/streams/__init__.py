"""Streams of predictions with late labels, the truth about their windows, and scores for who warned of it."""
