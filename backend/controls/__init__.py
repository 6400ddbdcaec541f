"""Catalogues of what others ask of models, held against what the record shows, and what reviewers judge of the rest."""
