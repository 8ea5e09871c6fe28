"""Labelling functions, from a rule in somebody's head to a column of votes.

declaring    what one is, how a workspace declares it in Python
rules        how one is written in YAML (conditions: what the rules may say)
view         what one sees (records, networks, peers, spells: what it may ask of it; outside: where that comes from)
apply        how functions become votes (calling: what becomes of one that fails)
kept         votes of functions that did not change (fingerprint: what a change is)
"""
