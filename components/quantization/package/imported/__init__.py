"""The package of an imported model's artefact: numbers in, numbers out, without channels, thresholds or alarms.

build         start here: puts the archive together
description   its `package.json`
ends          what goes in and what comes out, of each kind of artefact
vectors       its `golden_vectors.json`
check         whether the artefact inside is the described one
"""
