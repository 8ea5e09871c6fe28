"""What is worth what, and what is luck: trainings of several seeds side by side.

study       start here for few labels: pre-training or none beside gradient boosting on the same labels, over seeds
trial       one seed, one number of labels: three methods trained on the same drawn windows
few         labelled windows drawn at random, every class among them
page        the study as one HTML file
seeds       start here for the workspace's own model: every metric over devices and seeds together
seed        one seed of it: what every method did on each held-out device
seeds_page  the seeds as one HTML file
"""
