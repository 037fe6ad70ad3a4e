"""A network of which only the binary layers are packed; PyTorch runs the rest."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from onebit.deploy.call import NotPackableError
from onebit.deploy.file import write_program
from onebit.deploy.folding import Draft, write_out
from onebit.deploy.layer_rules import lower_layer
from onebit.deploy.packed_model import PackedModel
from onebit.errors import UsageError
from onebit.nn import BinaryConv2d, BinaryLayer


class PackedLayer(nn.Module):
    """A binary layer run by the engine; it takes and gives what the layer does, in evaluation and without gradients."""

    def __init__(self, layer: BinaryLayer, path: str) -> None:
        super().__init__()
        weight = layer.binary_weight()
        self.is_linear = not isinstance(layer, BinaryConv2d)
        outputs, inputs = weight.shape[-2:] if self.is_linear else weight.shape[-4:-2]
        image = Draft("input", (), (inputs * getattr(layer, "groups", 1), 1, 1))
        output = lower_layer(layer, image, (outputs, 1, 1), path)
        self.model = PackedModel(write_program(write_out(output, {"output_shape": [0, 0, 0]})), None, 1)

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().to("cpu", torch.float32)
        if self.is_linear:
            images = images.reshape(-1, x.shape[-1], 1, 1)
        result = self.model(images).to(x.device, x.dtype)
        return result[:, :, 0, 0].unflatten(0, x.shape[:-1]) if self.is_linear else result


class PartialModel(nn.Module):
    """A copy of a network, in evaluation mode, in which :class:`PackedLayer` stand for the binary layers.

    Attributes:
        reason: why the whole network could not be packed.
        packed, unpacked: paths of the binary layers that were packed, and path -> reason of those that were not.
    """

    def __init__(self, network: nn.Module, reason: str) -> None:
        super().__init__()
        self.reason = reason
        self.packed: list[str] = []
        self.unpacked: dict[str, str] = {}
        self.network = self._replace(copy.deepcopy(network)).eval().requires_grad_(False)
        if not self.packed:
            raise UsageError(f"there is no binary layer to pack; {reason}")

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.network(*inputs, **named)

    def save(self, path: Any) -> None:
        """Refused: a .onebit file holds whole networks."""
        raise UsageError(
            f"a .onebit file holds a network that is packed as a whole, and this one is not: {self.reason}"
        )

    def _replace(self, network: nn.Module) -> nn.Module:
        made: dict[int, nn.Module] = {}
        for path, module in list(network.named_modules()):
            if isinstance(module, BinaryLayer):
                try:
                    made[id(module)] = PackedLayer(module, path)
                    self.packed.append(path)
                except (NotPackableError, UsageError) as reason:
                    self.unpacked[path] = str(reason)
        if id(network) in made:
            return made[id(network)]
        for parent in network.modules():
            for name, child in parent._modules.items():
                if id(child) in made:
                    parent._modules[name] = made[id(child)]
        return network
