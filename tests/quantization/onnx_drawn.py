"""Random small ONNX graphs of the operators that have a twin."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from .onnx_graphs import proto


class _Drawn:
    """Grows a graph by one node a call; keeps the shape of its last tensor, (1, channels, ...) or (1, features)."""

    def __init__(self, draw, shape):
        self.draw, self.shape, self.nodes, self.weights = draw, shape, [], {}
        self.last, self.random = "x", np.random.default_rng(draw(st.integers(0, 1 << 16)))

    def add(self, kind, shape=None, more=(), constants=(), **attributes):
        name = f"t{len(self.nodes)}"
        sources = [self.last, *more]
        for array in constants:
            sources.append(f"{name}.{len(sources)}")
            self.weights[sources[-1]] = np.asarray(array)
        self.nodes.append((kind, tuple(sources), name, attributes))
        self.last, self.shape = name, self.shape if shape is None else shape
        return name

    def noise(self, *shape):
        return self.random.normal(0, 0.5, shape).astype(np.float32)

    def window(self):
        """kernel, strides, attributes and output sizes over the spatial axes."""
        sizes = self.shape[2:]
        kernel = [self.draw(st.integers(1, min(3, n))) for n in sizes]
        stride = min(self.draw(st.integers(1, 2)), *kernel)  # ONNX Runtime pools no less than it strides
        automatic = self.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"]))
        about = {"strides": [stride] * len(sizes), "auto_pad": automatic}
        sides = [0] * (2 * len(sizes))
        if automatic == "NOTSET":
            sides = [self.draw(st.integers(0, k - 1)) for k in kernel * 2]
            about["pads"] = sides
        if automatic.startswith("SAME"):
            return kernel, about, [-(-n // stride) for n in sizes]
        pairs = zip(sizes, kernel, sides[: len(sizes)], sides[len(sizes) :], strict=True)
        return kernel, about, [(n + a + b - k) // stride + 1 for n, k, a, b in pairs]

    def conv(self):
        kernel, about, sizes = self.window()
        channels, depthwise = self.shape[1], self.draw(st.booleans())
        out = channels * self.draw(st.integers(1, 2)) if depthwise else self.draw(st.integers(1, 4))
        weights = self.noise(out, 1 if depthwise else channels, *kernel)
        bias = [self.noise(out)] if self.draw(st.booleans()) else []
        self.add("Conv", (1, out, *sizes), (), [weights, *bias], group=channels if depthwise else 1, **about)

    def dilated(self):
        if min(self.shape[2:]) >= 5:
            weights = self.noise(3, self.shape[1], *[3] * len(self.shape[2:]))
            self.add("Conv", (1, 3, *[n - 4 for n in self.shape[2:]]), (), [weights], dilations=[2] * len(self.shape[2:]))

    def normalise(self):
        channels = self.shape[1]
        self.add("BatchNormalization", None, (), [*(self.noise(channels) for _ in range(3)), 1 + self.noise(channels) ** 2])

    def activate(self):
        kind = self.draw(st.sampled_from(["Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "Clip", "Identity"]))
        self.add(kind, None, (), [np.float32(0), np.float32(6)] if kind == "Clip" else [])

    def scale(self):
        kind = self.draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
        array = self.noise(self.shape[1], *[1] * (len(self.shape) - 2)) if self.draw(st.booleans()) else self.noise(*self.shape)
        self.add(kind, None, (), [np.abs(array) + 1 if kind == "Div" else array])

    def residual(self):
        before = self.last
        self.activate()
        self.add(self.draw(st.sampled_from(["Add", "Sub", "Mul"])), None, [before])

    def join(self):
        before = self.last
        self.activate()
        self.add("Concat", (1, 2 * self.shape[1], *self.shape[2:]), [before], axis=1)

    def gate(self):
        """Squeeze and excitation."""
        before, whole, channels = self.last, self.shape, self.shape[1]
        self.add("GlobalAveragePool", (1, channels, *[1] * len(whole[2:])))
        self.add("Conv", None, (), [self.noise(channels, channels, *[1] * len(whole[2:]))])
        self.add("Sigmoid")
        self.add("Mul", whole, [before])

    def pool(self):
        kernel, about, sizes = self.window()
        kind = self.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        if kind == "MaxPool":
            self.add("Relu")
        else:
            about |= {"count_include_pad": 1}
        self.add(kind, (1, self.shape[1], *sizes), kernel_shape=kernel, **about)

    def pad(self):
        rank = len(self.shape)
        pads = [0] * rank + [0, 0, *[1] * (rank - 2)]
        self.add("Pad", (*self.shape[:2], *[n + 1 for n in self.shape[2:]]), (), [np.asarray(pads, np.int64)])

    def turn(self):
        """There and back, as code for both orders does."""
        rank = len(self.shape)
        self.add("Transpose", perm=[0, *range(2, rank), 1])
        self.add("Relu")
        self.add("Transpose", perm=[0, rank - 1, *range(1, rank - 1)])

    def end(self):
        features = int(np.prod(self.shape[1:]))
        kind = self.draw(st.sampled_from(["flatten", "reshape", "mean", "turned", "none"]))
        if kind == "none":
            return
        if kind == "mean":
            axes = list(range(2, len(self.shape)))
            self.add("ReduceMean", self.shape[:2], axes=axes, keepdims=0)
        elif kind == "flatten":
            self.add("Flatten", (1, features), axis=1)
        elif kind == "reshape":
            self.add("Reshape", (1, features), (), [np.asarray([1, -1], np.int64)])
        else:
            channels, rest = self.shape[1], int(np.prod(self.shape[2:]))
            self.add("Reshape", (1, channels, rest), (), [np.asarray([1, channels, rest], np.int64)])
            self.add("Transpose", (1, rest, channels), perm=[0, 2, 1])
            self.add("MatMul", (1, rest, 2), (), [self.noise(channels, 2)])
            self.add("Flatten", (1, rest * 2), axis=1)
        if self.draw(st.booleans()):
            self.add("Dropout")
        self.add("Gemm", (1, 3), (), [self.noise(3, self.shape[1]), self.noise(3)], transB=1)
        if self.draw(st.booleans()):
            self.add("Softmax", axis=-1)


_STEPS = ("conv", "dilated", "normalise", "activate", "scale", "residual", "join", "gate", "pool", "pad", "turn")


@st.composite
def graphs(draw):
    """(ONNX model, shape of its input)."""
    spatial = draw(st.integers(1, 2))
    sizes = [draw(st.integers(3, 8)) for _ in range(spatial)]
    channels, last = draw(st.integers(1, 3)), draw(st.booleans())
    drawn = _Drawn(draw, (1, channels, *sizes))
    entry = (1, *sizes, channels) if last else drawn.shape
    if last:
        drawn.add("Transpose", perm=[0, spatial + 1, *range(1, spatial + 1)])
    for step in draw(st.lists(st.sampled_from(_STEPS), min_size=1, max_size=6)):
        getattr(drawn, step)()
    drawn.end()
    return proto(drawn.nodes, drawn.weights, entry, (drawn.last,)), entry
