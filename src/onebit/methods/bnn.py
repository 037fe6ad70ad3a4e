"""``bnn``: BinaryNet (Courbariaux et al., Binarized Neural Networks, NeurIPS 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.methods.registry import METHODS, Method
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear
from onebit.nn.binary_layer import WeightInit


class BnnLayer(BinaryLayer):
    """Weights ``sign(W)`` without any scale; after every optimiser step W is clipped to [-1, 1].

    Gradients (section 1.3): ``dL/dW = dL/dsign(W) * 1[abs(W) <= 1]`` and ``dL/dx = dL/dsign(x) * 1[abs(x) <= 1]``.
    The window is closed, so a weight that was clipped to 1 still learns. An output is as large as the number of weights
    in its sum: a batch norm has to follow.

    >>> layer = BnnConv2d(2, 1, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[[[0.5]], [[-3.0]]]]))
    >>> layer(torch.tensor([[[[3.0]], [[0.1]]]])).item()  # 1 * 1 + 1 * -1
    0.0
    >>> layer.constrain(); layer.weight.flatten().tolist()
    [0.5, -1.0]
    """

    def configure(  # ty: ignore[incompatible-method-override]
        self,
        estimator: str = "clip",
        weight_estimator: str = "clip",
        init: WeightInit = "he",
        init_scale: float = 0.1,
    ) -> None:
        super().configure(estimator, weight_estimator, "unit", init, init_scale)

    def scale(self) -> Tensor:
        """1, for the whole layer."""
        return self.weight.new_ones([1] * (self.weight.dim() - 1))

    def effective_weight(self) -> Tensor:
        return self.binary_weight()

    def constrain(self) -> None:
        with torch.no_grad():
            self.weight.clamp_(-1, 1)


class BnnConv2d(BnnLayer, BinaryConv2d):
    """BinaryNet's convolution; see :class:`BnnLayer`."""


class BnnLinear(BnnLayer, BinaryLinear):
    """The linear form of :class:`BnnConv2d`."""


METHODS.add("bnn", Method("bnn", BnnConv2d, BnnLinear, "Courbariaux et al., Binarized Neural Networks, NeurIPS 2016"))
