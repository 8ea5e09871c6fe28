"""Boosted trees that were trained elsewhere.

xgboost_file   reads XGBoost's JSON without trusting it; `ubjson` makes it of its UBJSON
grid           samples: how a device's numbers become them, and rows to try trees on
integers       float trees become integer ones that decide the same on every sample
importing      takes a file in
building       compiles it for a hardware profile
proving        runs the result there
"""
