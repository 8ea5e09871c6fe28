"""Health: who may report, what devices said, counted exactly once.

tables.py      what is kept
counts.py      columns for those who decide on a release
"""
