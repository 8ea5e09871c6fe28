"""Models that come as ONNX: `importing` takes one in, `building` writes it for a profile, `proving` runs it.

checking      what of an ONNX file is taken, and why the rest is not
examining     a first run, in a process of its own
session       ONNX Runtime on one thread
folding       the graph with a batch of one, and all that is constant computed
activations   how far each activation reaches
layers        its convolutions and dense layers, and the graph with other weights in them
channels      what the channels of activations hold
equalising    channels between two layers brought to like ranges
correcting    biases that make up for rounded weights
candidates    float32, and int8 under a calibrator
choosing      which candidate suits a profile
twin          the same network in Keras, for runtimes that take an int8 .tflite
alone         an artefact in a process of its own, measured
"""
