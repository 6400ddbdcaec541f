"""A model as one document, `warrant.yaml`: proposed from a file of predictions, compared, and put in force.

document.py     what it may hold, and every mistake with line and column
proposing.py    a first one from a file, each value with its reason
comparing.py    what differs between the document and what is recorded
applying.py     making that so, through the services that everybody else goes through
history.py      bringing in what was predicted before, as a job
"""
