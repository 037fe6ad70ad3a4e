"""siamfc: the fully convolutional Siamese tracker's network, AlexNetV1 with cross-correlation, and its 1-bit versions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.methods import Method
from onebit.methods.real import RealConv2d
from onebit.models.registry import MODELS, TRACKERS, Tap, check_images, check_widths

#: kernel, stride, groups, whether 3x3 max pooling at stride 2 follows
_SHAPES = ((11, 2, 1, True), (5, 1, 2, True), (3, 1, 1, False), (3, 1, 2, False), (3, 1, 2, False))
#: the smallest image that leaves one pixel of features
SMALLEST = 87
Pair = tuple[Tensor, Tensor]


class Block(nn.ModuleList):
    """One convolution with what belongs to it; children 0 and 1 are the convolution and its norm, as published.

    Real networks (published order): ``pool(norm(conv(relu(x))))``, without ReLU at the image; the ReLU before a convolution is
    the one that the papers draw after the norm before it, as max pooling and ReLU change places freely.
    1-bit networks: ``norm(pool(conv(x)))``, where a binary convolution takes the sign of x itself. Pooling real values and
    taking the norm last gives every sign both of its values; behind a ReLU it would be constant.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module | None, pool: bool, norm_last: bool) -> None:
        super().__init__([conv] if norm is None else [conv, norm])
        self.pool, self.norm_last = pool, norm_last

    def forward(self, x: Tensor) -> Tensor:
        conv, *norms = self
        x = conv(x)
        if self.pool and self.norm_last:
            x = F.max_pool2d(x, 3, 2)
        for norm in norms:
            x = norm(x)
        return F.max_pool2d(x, 3, 2) if self.pool and not self.norm_last else x


class AlexNetV1(nn.Module):
    """The backbone: five convolutions without padding, total stride 8; batch norm with eps 1e-6 and momentum 0.05.

    Shapes:
        (N, in_channels, H, W), at least 87x87, values 0..255 -> (N, widths[4], h, w); 127 gives 6, 239 gives 20, 255 gives 22.
    """

    def __init__(
        self, method: Method, in_channels: int, widths: tuple[int, ...], binary: frozenset[int], feature_norm: bool
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        if 1 in binary:
            self.input_norm = _norm(in_channels)
        channels = in_channels
        for index, (width, (kernel, stride, groups, pool)) in enumerate(zip(widths, _SHAPES, strict=True), 1):
            if index in binary:
                conv = method.conv(channels, width, kernel, stride=stride, groups=groups)
            elif index == 1:
                conv = _published(nn.Conv2d(channels, width, kernel, stride, groups=groups))
            else:
                conv = _published(RealConv2d(channels, width, kernel, bias=True, stride=stride, groups=groups))
            normed = index < 5 or (feature_norm and index in binary)
            self.add_module(f"conv{index}", Block(conv, _norm(width) if normed else None, pool, bool(binary)))
            channels = width

    def blocks(self) -> list[nn.Module]:
        return [self.get_submodule(f"conv{index}") for index in range(1, 6)]

    def maps(self, images: Tensor) -> list[Tensor]:
        """The outputs of the five blocks, the features last."""
        check_images(images, self.in_channels)
        if min(images.shape[-2:]) < SMALLEST:
            raise UsageError(f"siamfc takes images of at least {SMALLEST}x{SMALLEST}, got {tuple(images.shape)}")
        maps = [self.input_norm(images) if hasattr(self, "input_norm") else images]
        for block in self.blocks():
            maps.append(block(maps[-1]))
        return maps[1:]

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images)[-1]


class SiamFC(nn.Module):
    """Where in a search image lies what the exemplar shows? (Bertinetto et al. 2016; layout of siamfc-pytorch)

    ``response = scale * gain * sum over channels and offsets of features(search) * features(exemplar)``, valid positions only.
    ``scale`` is fixed; ``gain`` is 1 unless ``learn_gain`` makes it a parameter.

    Called with images it gives their features, called with a pair (exemplars, searches) their responses.
    Both branches have taps of their own (``exemplar.0`` .. ``exemplar.4``, ``search.0`` ..): per layer both are matched, per stage
    the search image's alone.

    Shapes:
        (N, C, H, W) -> (N, widths[4], h, w)
        pair of (N, C, 127, 127) and (N, C, 239, 239) -> (N, 15, 15)

    >>> import torch
    >>> from onebit.models import create_model
    >>> net = create_model("siamfc", "real")
    >>> sum(p.numel() for p in net.parameters())
    2336320
    >>> net((torch.rand(1, 3, 127, 127), torch.rand(1, 3, 239, 239))).shape
    torch.Size([1, 15, 15])
    """

    def __init__(self, backbone: AlexNetV1, scale: float, learn_gain: bool) -> None:
        super().__init__()
        self.backbone, self.scale = backbone, scale
        self.exemplar = nn.ModuleList(nn.Identity() for _ in range(5))
        self.search = nn.ModuleList(nn.Identity() for _ in range(5))
        self.gain = nn.Parameter(torch.ones(1)) if learn_gain else None
        self.taps = tuple(Tap(f"{branch}.{i}", i) for i in range(5) for branch in ("exemplar", "search"))

    def forward(self, images: Tensor | Pair) -> Tensor:
        if isinstance(images, Tensor):
            return self.backbone(images)
        exemplar, search = (
            [tap(maps) for tap, maps in zip(taps, self.backbone.maps(part), strict=True)][-1]
            for taps, part in zip((self.exemplar, self.search), images, strict=True)
        )
        return self.response(exemplar, search)

    def response(self, exemplar: Tensor, search: Tensor) -> Tensor:
        """Correlate features in float32; one exemplar (1, C, h, w) may serve many searches (N, C, H, W).

        Returns:
            (N, H - h + 1, W - w + 1)
        """
        return correlate(exemplar, search) * (self.scale if self.gain is None else self.scale * self.gain)

    def packed_metadata(self) -> dict[str, float]:
        """What a packed file says beside the backbone: the factor of the correlation."""
        return {"correlation_scale": self.scale * (1.0 if self.gain is None else self.gain.item())}


def correlate(exemplar: Tensor, search: Tensor) -> Tensor:
    """Sums over channels and offsets of search times exemplar, in float32, at valid positions: (N, H - h + 1, W - w + 1)."""
    with torch.autocast(search.device.type, enabled=False):
        exemplar, search = exemplar.float(), search.float()
        if len(exemplar) == 1:
            return F.conv2d(search, exemplar)[:, 0]
        folded = search.reshape(1, -1, *search.shape[-2:])
        return F.conv2d(folded, exemplar, groups=len(exemplar))[0]


def _published(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution as it starts: Xavier-uniform weights, biases of 0."""
    nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-6, momentum=0.05)


@MODELS.register("siamfc")
def siamfc(
    method: Method,
    in_channels: int,
    widths: Sequence[int] = (96, 256, 384, 384, 256),
    binary: str = "2345",
    feature_norm: bool = True,
    scale: float = 0.001,
    learn_gain: bool = False,
) -> SiamFC:
    """SiamFC with AlexNetV1. With method ``real`` it is the published network, and takes its ``state_dict`` as it is.

    Args:
        widths: channels of the five convolutions; of the second and the last three multiples of 2.
        binary: which convolutions the method makes; the others are real, with bias, behind a ReLU.
        feature_norm: batch norm after a binary fifth convolution, whose sums are of another size than real ones.
        scale: factor of the correlation; learn_gain: a second one that is learned, from 1.
    """
    checked = check_widths(widths, 5, "five widths, one a convolution: 96-256-384-384-256")
    if any(width % 2 for width in checked):
        raise UsageError(f"siamfc splits channels into two groups: its widths are even, got {checked!r}")
    if not set(binary) <= set("12345") or len(set(binary)) < len(binary) or not binary:
        raise UsageError(f"binary names convolutions by their digits, such as '2345' or '234', got {binary!r}")
    if scale <= 0:
        raise UsageError(f"scale must be more than 0, got {scale}")
    layers = frozenset() if method.name == "real" else frozenset(map(int, binary))
    return SiamFC(AlexNetV1(method, in_channels, checked, layers, feature_norm), scale, learn_gain)


TRACKERS.add("siamfc")
