"""What a device does with an artefact, in the device's own arithmetic.

Raw int16 samples -> int8 codes (`scaling`), codes -> the network's int8 outputs in its own runtime (`engines`),
outputs -> calibrated score, alarm and classes (`scoring`). Everything around the network is integer arithmetic,
so a Python gateway and a microcontroller in C compute the same bits. Training, proof and the device client
all call this package: what is proven is what runs. It needs numpy and one runtime, nothing else.
"""
