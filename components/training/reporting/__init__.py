"""The report of a training run: how it learned, what it reaches, how far its numbers can be trusted.

write        start here: a trained model and its windows in, `report.json` and `report.html` out
reliability  stated against achieved: false alarms, and probabilities of classes
plots        lines and points as SVG
page         the report as one HTML file
"""
