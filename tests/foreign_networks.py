"""Networks as others write them: what binarize has to cope with. All take images of CHANNELS x SIZE x SIZE."""

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS, SIZE, CLASSES = 3, 16, 4
INPUT = (2, CHANNELS, SIZE, SIZE)


def vgg(width=16, norm=True):
    """Conv (with bias) -> norm -> ReLU, pooling between stages, dropout in the classifier."""
    layers, channels = [], CHANNELS
    for item in (width, width, "pool", 2 * width, 2 * width, "pool"):
        if item == "pool":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [
            nn.Conv2d(channels, item, 3, padding=1),
            *([nn.BatchNorm2d(item)] if norm else []),
            nn.ReLU(inplace=True),
        ]
        channels = item
    head = nn.Sequential(nn.Flatten(), nn.Linear(channels * 16, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, CLASSES))
    return nn.Sequential(nn.Sequential(*layers), head)


class MobileNet(nn.Module):
    """Depthwise separable convolutions with linear bottlenecks and ReLU6."""

    class Block(nn.Module):
        def __init__(self, channels, expanded):
            super().__init__()
            self.expand = nn.Sequential(
                nn.Conv2d(channels, expanded, 1, bias=False), nn.BatchNorm2d(expanded), nn.ReLU6()
            )
            self.depthwise = nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded, bias=False)
            self.norm = nn.BatchNorm2d(expanded)
            self.project = nn.Sequential(nn.Conv2d(expanded, channels, 1, bias=False), nn.BatchNorm2d(channels))

        def forward(self, x):
            return x + self.project(F.relu6(self.norm(self.depthwise(self.expand(x)))))

    def __init__(self, width=32):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(CHANNELS, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width))
        self.blocks = nn.Sequential(self.Block(width, 2 * width), self.Block(width, 2 * width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class UNet(nn.Module):
    """Two levels, transposed convolution up, concatenation across, a 1x1 convolution as the last layer."""

    def __init__(self, width=16):
        super().__init__()

        def double(a, b):
            return nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
                nn.Conv2d(b, b, 3, padding=1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            )

        # Registered last to first: only the forward tells the order.
        self.out = nn.Conv2d(width, CLASSES, 1)
        self.decode = double(2 * width, width)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.bottom = double(width, 2 * width)
        self.encode = double(CHANNELS, width)

    def forward(self, x):
        across = self.encode(x)
        deep = self.bottom(F.max_pool2d(across, 2))
        return self.out(self.decode(torch.cat([self.up(deep), across], 1)))


class FunctionalResNet(nn.Module):
    """A ResNet of basic blocks with F.relu and += in forward, and names that say nothing."""

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.c1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
            self.n1 = nn.BatchNorm2d(b)
            self.c2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
            self.n2 = nn.BatchNorm2d(b)
            self.c3 = nn.Conv2d(a, b, 1, stride, bias=False) if stride > 1 else None
            self.n3 = nn.BatchNorm2d(b) if stride > 1 else None

        def forward(self, x):
            y = self.n2(self.c2(F.relu(self.n1(self.c1(x)), inplace=True)))
            y += x if self.c3 is None else self.n3(self.c3(x))
            return F.relu(y)

    def __init__(self, width=16):
        super().__init__()
        self.fc = nn.Linear(2 * width, CLASSES)
        self.stem = nn.Conv2d(CHANNELS, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.a = self.Block(width, width, 1)
        self.b = self.Block(width, 2 * width, 2)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        return self.fc(F.adaptive_avg_pool2d(self.b(self.a(x)), 1).flatten(1))


class GroupedDilated(nn.Module):
    """Norm before every convolution, no ReLU before signs: grouped, dilated, strided and oddly padded convolutions."""

    def __init__(self, width=16):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 3, padding="same"),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=4),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, (3, 5), stride=(2, 1), padding=(1, 2), padding_mode="reflect", bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 4, padding="same"),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding="valid", bias=False),
            nn.BatchNorm2d(width),
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        return self.head(self.layers(x).mean((2, 3)))


NETWORKS = {
    "vgg": vgg,
    "mobilenet": MobileNet,
    "unet": UNet,
    "functional resnet": FunctionalResNet,
    "grouped dilated": GroupedDilated,
}


def make(name, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[name]()
