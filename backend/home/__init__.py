"""What the first page says to each role beside how the models are: a few rows of each, cut in the database."""
