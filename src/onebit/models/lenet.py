"""lenet: a small network for small images (MNIST, the shipped digits)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.methods import Method
from onebit.models.registry import MODELS, Tap, check_images, check_widths


class LeNet(nn.Module):
    """Real 5x5 convolution, binary 5x5 convolution, binary linear layer, real classifier.

    Every binary layer sees batch-normed values (pool -> norm -> sign -> layer), so that its signs carry information.
    ``widths`` are the channels of the two convolutions and the features of the hidden linear layer.

    Shapes:
        (N, in_channels, image_size, image_size) -> (N, num_classes); image_size at least 4
    """

    def __init__(
        self,
        method: Method,
        *,
        num_classes: int,
        in_channels: int,
        image_size: int,
        widths: Sequence[int] = (32, 64, 512),
    ) -> None:
        super().__init__()
        if image_size < 4:
            raise UsageError(f"lenet needs images of at least 4x4 pixels, got {image_size}x{image_size}")
        first, second, hidden = check_widths(widths, 3, "three widths, two convolutions and hidden layer: 32-64-512")
        convolution = nn.Conv2d(in_channels, first, 5, padding=2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
        self.in_channels = in_channels
        self.stem = nn.Sequential(convolution, nn.MaxPool2d(2), nn.BatchNorm2d(first))
        self.conv = method.conv(first, second, 5, padding=2)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(second)
        side = image_size // 2 // 2
        self.hidden = method.linear(second * side * side, hidden)
        self.hidden_norm = nn.BatchNorm1d(hidden)
        self.classifier = nn.Linear(hidden, num_classes)
        self.taps = (Tap("norm", 0), Tap("hidden_norm", 1))

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        maps = self.norm(self.pool(self.conv(self.stem(x))))
        return self.classifier(self.hidden_norm(self.hidden(maps.flatten(1))))


@MODELS.register("lenet")
def lenet(
    method: Method, num_classes: int, in_channels: int, image_size: int, widths: Sequence[int] = (32, 64, 512)
) -> LeNet:
    """LeNet-5's shape (LeCun et al. 1998) with batch norm, for 28x28 and other small images."""
    return LeNet(method, num_classes=num_classes, in_channels=in_channels, image_size=image_size, widths=widths)
