"""Who can do what, and the reviews in which somebody else says whether they still need it."""
