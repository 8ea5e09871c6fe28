"""One trained model -> an artefact a hardware profile -> the proof that it does on the device what it was trained to do.

`quantize.quantize` compiles: int8 network in the profile's runtime (`targets`), integers of the score, self-test.
`prove.prove` runs the artefact in that runtime on held-out windows and holds it against the float model
(`reference`) and against the budgets of the profile, on a board of `boards` where its processor is no gateway's.
`fit.fit` says without held-out windows whether the model fits a profile at all.
"""
