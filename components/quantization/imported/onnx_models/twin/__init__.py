"""A Keras network that computes what an ONNX graph does, channels last, so that TensorFlow's converter can write it in integers.

network       the graph node by node; a reader starts here
value         a tensor with the order of its axes: layout changes are bookkeeping wherever they can be
node          an ONNX node with its attributes and constants
layers        convolutions, dense layers, normalisation
pooling       pooling and means
padding       which of TensorFlow's two paddings is meant, or explicit zeros
elementwise   activations, sums and products
layout        reshape, transpose, concatenate, pad
writing       the twin as an int8 .tflite, in a process of its own
"""
