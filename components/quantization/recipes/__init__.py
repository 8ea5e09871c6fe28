"""Recipe search: which way of writing a network's numbers suits a hardware profile.

search      tries the recipes that a profile allows, and keeps why the others lost
forms       the networks that compete for a profile
fitting     what cannot fit it
fidelity    how near a network in integers is to the float model
equalise    brings channels between two layers to like ranges
correct     biases that make up for rounded weights
"""
