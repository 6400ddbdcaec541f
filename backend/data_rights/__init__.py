"""What the people behind the data may ask for, and what is promised to them.

requests     erasing and access: asked for here, decided on as a change, carried out by its execution
people       erasing somebody who used Warrant: their name, their address, their key in the log
rules        purpose, consent and retention of a model; people who opted out
extraction   the rows that training may use: only for a recorded purpose, without who opted out
explanation  why one prediction came out as it did, and who let that version decide
"""
