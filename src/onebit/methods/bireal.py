"""``bireal``: Bi-Real Net's convolution (Liu et al., ECCV 2018)."""

from __future__ import annotations

from onebit.methods.registry import METHODS, Method
from onebit.nn import BinaryConv2d, BinaryLinear


class BiRealConv2d(BinaryConv2d):
    """Weights ``mean(abs(W_i)) * sign(W_i)`` per filter i, the mean held constant; activations by ``bireal``.

    Gradient on W: ``dL/dW = dL/dW_eff * 1[abs(W) <= 1]`` with ``scale_grad="unit"`` (the released code), times the mean
    with ``"scaled"``. It is the shared contract with nothing added.
    """


class BiRealLinear(BinaryLinear):
    """The linear form of :class:`BiRealConv2d`."""


METHODS.add("bireal", Method("bireal", BiRealConv2d, BiRealLinear, "Liu et al., Bi-Real Net, ECCV 2018"))
