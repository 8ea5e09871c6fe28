"""Models that were trained elsewhere: `importing` takes one in, `building` compiles it, `proving` runs it.

formats       which files are taken, and why others are not
examples      codes to try a model on
converting    a Keras file becomes an int8 .tflite
onnx_models   float models that come as ONNX
exported_programs   programs of torch.export become ONNX
isolated      a module in a process of its own
built_for     whether an artefact is the profile's
loading       loads what was built, of whatever kind
on_boards     runs C sources here and on an emulated board
boosted       the same for boosted trees
"""
