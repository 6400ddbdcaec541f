"""`warrant bench seed-fleet`: a synthetic fleet of models, stored as the metrics job and people would leave it.

plan        which models there are and what happens to each, from a seed
references  four reference files that all versions share, measured by the functions that measure real ones
figures     what each window of a model holds: counts and values in arrays
judging     the verdicts on them
rows        the same as rows of the tables
bulk        many rows at once, on SQLite and PostgreSQL
governed    people, teams, models, versions, deployments, cards, findings: by the services
seed        the order of all of it
"""
