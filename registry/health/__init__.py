"""Health: who may report, what devices said, counted exactly once.

tables.py      what is kept
keys.py        the history of devices' keys
enrolment.py   whose signature counts as whose
tokens.py      one-time tokens for devices that enrol themselves
rollouts.py    what a report is held against
signatures.py  whether a report is signed
judging.py     who says it, and may they?
merging.py     the join of reports into the tables
intake.py      all of it, in batches: nothing is acknowledged before it is committed
pruning.py     when what keeps reports from being counted twice may go
counts.py      columns for those who decide on a release
lookups.py     rows of many ids in one query
"""
