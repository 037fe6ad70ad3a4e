"""The written formulas, in plain NumPy: what the tests hold the code against. Nothing here is imported from onebit."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from hypothesis import strategies as st

# The one tolerance of float64 comparisons: sums in another order.
close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def clip(x):
    return (np.abs(x) <= 1).astype(x.dtype)


def box(x):
    """ABC-Net's window in x + v - 1/2: 1 where 0 <= x + v <= 1."""
    return ((x >= -0.5) & (x <= 0.5)).astype(x.dtype)


def bireal(x):
    """RBCN Eq. 8, branch by branch as printed."""
    return np.where((x >= -1) & (x < 0), 2 + 2 * x, np.where((x >= 0) & (x < 1), 2 - 2 * x, 0))


def identity(x):
    return np.ones_like(x)


WINDOWS = {"clip": clip, "box": box, "bireal": bireal, "identity": identity}


@dataclass(frozen=True)
class Geometry:
    """A convolution's shapes: N images of groups * c_in channels, H x W, to groups * c_out channels."""

    n: int = 2
    c_in: int = 2
    c_out: int = 3
    size: tuple[int, int] = (5, 4)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def x_shape(self):
        return (self.n, self.groups * self.c_in, *self.size)

    @property
    def w_shape(self):
        return (self.groups * self.c_out, self.c_in, *self.kernel)

    @property
    def out_size(self):
        sides = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((h + 2 * p - d * (k - 1) - 1) // s + 1 for h, k, s, p, d in sides)

    @property
    def y_shape(self):
        return (self.n, self.groups * self.c_out, *self.out_size)

    @property
    def numbers(self):
        """The arguments that a convolution takes after input and weight."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def arguments(self):
        """The arguments that a layer is built with."""
        return (self.groups * self.c_in, self.groups * self.c_out, self.kernel), self.numbers


# One of each kind: plain, strided and grouped, dilated and rectangular, one pixel high, one pixel.
GEOMETRIES = [
    Geometry(),
    Geometry(size=(7, 5), stride=(2, 2), groups=2),
    Geometry(size=(6, 7), kernel=(1, 3), stride=(1, 2), padding=(0, 2), dilation=(1, 2)),
    Geometry(n=1, size=(1, 6), kernel=(3, 2)),
    Geometry(n=3, c_in=5, c_out=1, size=(1, 1), kernel=(1, 1), padding=(0, 0), groups=3),
]


@st.composite
def geometries(draw, largest=6):
    """Any geometry with at least one output pixel; sides of 1, odd sides, groups, holes and padding included."""
    small, side = st.integers(1, 3), st.integers(1, largest)
    kernel, dilation, stride = (draw(st.tuples(small, small)) for _ in range(3))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    span = [d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = tuple(max(draw(side), least) for least in span)
    n, c_in, c_out, groups = draw(small), draw(st.integers(1, 5)), draw(small), draw(small)
    return Geometry(n, c_in, c_out, size, kernel, stride, padding, dilation, groups)


def _taps(g):
    """For every kernel position and group: kernel indices, input channels, output channels, the rows and columns read."""
    height, width = g.out_size
    for k in range(g.kernel[0]):
        for m in range(g.kernel[1]):
            rows = np.arange(height) * g.stride[0] + k * g.dilation[0]
            columns = np.arange(width) * g.stride[1] + m * g.dilation[1]
            for group in range(g.groups):
                read = slice(group * g.c_in, (group + 1) * g.c_in)
                written = slice(group * g.c_out, (group + 1) * g.c_out)
                yield k, m, read, written, np.ix_(rows, columns)


def _padded(x, g):
    return np.pad(x, ((0, 0), (0, 0), (g.padding[0],) * 2, (g.padding[1],) * 2))


def conv(x, w, g):
    """y[n, o] = sum over taps of x * w; padded taps are 0."""
    y, x = np.zeros(g.y_shape, x.dtype), _padded(x, g)
    for k, m, read, written, (rows, columns) in _taps(g):
        y[:, written] += np.einsum("nchw,oc->nohw", x[:, read, rows, columns], w[written, :, k, m])
    return y


def conv_to_weight(upstream, x, g):
    """dL/dw of ``conv(x, w)`` for dL/dy = upstream."""
    to_w, x = np.zeros(g.w_shape, x.dtype), _padded(x, g)
    for k, m, read, written, (rows, columns) in _taps(g):
        to_w[written, :, k, m] += np.einsum("nchw,nohw->oc", x[:, read, rows, columns], upstream[:, written])
    return to_w


def conv_to_input(upstream, w, g):
    """dL/dx of ``conv(x, w)`` for dL/dy = upstream."""
    to_x = _padded(np.zeros(g.x_shape, w.dtype), g)
    for k, m, read, written, (rows, columns) in _taps(g):
        to_x[:, read, rows, columns] += np.einsum("nohw,oc->nchw", upstream[:, written], w[written, :, k, m])
    top, left = g.padding
    return to_x[:, :, top : top + g.size[0], left : left + g.size[1]]
