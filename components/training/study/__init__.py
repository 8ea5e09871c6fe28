"""What pre-training is worth with few labels, over seeds, beside gradient boosting on the same labels.

study    start here: what the outcomes of trials say together
trial    one seed, one number of labels: three methods trained on the same drawn windows
few      labelled windows drawn at random, every class among them
page     the study as one HTML file
"""
