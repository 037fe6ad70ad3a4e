"""Networks as training leaves them: batch norm that is not trivial, factors of both signs, weights and inputs of exactly 0."""

import torch
import torch.nn.functional as F
from torch import nn

from onebit.nn import BinaryLayer


def settle(network: nn.Module, shape: tuple[int, ...], steps: int = 2, batch: int = 6) -> nn.Module:
    """A few real training steps, then every third norm factor negative and every seventh binary weight 0."""
    generator = torch.Generator().manual_seed(5)
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    network.train()
    for _ in range(steps):
        result = network(torch.randn(batch, *shape, generator=generator))
        logits = result if result.dim() == 2 else result.mean((2, 3))
        F.cross_entropy(logits, torch.arange(batch) % logits.shape[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
                module.weight[::3] *= -1
                module.bias.normal_(0, 0.1, generator=generator)
            if isinstance(module, BinaryLayer):
                module.weight.view(-1)[::7] = 0
    return network.eval()
