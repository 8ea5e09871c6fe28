"""The weak-label benchmark: how fast, how lean and how right our label model is beside Snorkel's and majority vote.

    python -m benchmarks.weak_labels [--only apply fit rare ...] [--seeds 1 2 3] [--peer PYTHON]

sets     vote matrices with gold: published, simulated, and from random rules on measured data
rules    random decision-tree and keyword rules
models   majority vote, Snorkel and ours behind one signature, each in its own interpreter
costs    CPU seconds and extra memory of one measurement in a process of its own
scores   accuracy, F1, average precision, log-loss
rows     the claims: each a line of the table
end      the model that devices run, trained on weak and on true labels
"""
