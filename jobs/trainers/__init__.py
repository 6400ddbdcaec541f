"""Trainers: programs that turn a job file and Parquet into a model folder. A trainer is one file here that registers
itself; everything around it is the contract (`contract.py`) and the supervisor (`supervise.py`).

`python -m jobs.trainers JOB.json` runs one. Frameworks are imported inside the functions that need them.
"""
