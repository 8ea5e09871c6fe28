"""Judge a finished model on telemetry with labels, beside what people use, by the protocol of docs/evaluation.md.

judge      start here: data and labels in, an `Evaluation` out
detector   what is judged: a model or artefact as a function of windows
telemetry  reads the data file in the contract of the workspace or of the model
labels     reads labels, a row each or in segments
scope      which windows are judged, and what there is to learn from
methods    the model and the baselines, each with its threshold
device     what one method does on one device
summary    over devices, with intervals by bootstrap
result     the values that come of it
page       the evaluation as one HTML file
drawing    anomalies and alarms worth a look, as SVG
scoring    scores without labels: what a device would say of each window
"""
