"""Networks for hardware profiles that the trained one does not suit, made out of it: `model.shapes` of muster.yaml.

shaping     start here: the recipes of each shape are tried, and what answers best in integers is kept
imitation   what a network learns from the trained one, and how far it is from it in integers
student     a network in its deploy form that learns while it computes as int8 does
pruning     channels and blocks that matter least are cut out
reach       what each network reaches on what is held out, in simulated integers
"""
