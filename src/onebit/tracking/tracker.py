"""The SiamFC tracker: one exemplar from the first frame, searched for at three scales in every other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from onebit.errors import OnebitError, UsageError
from onebit.tracking.boxes import Boxes, as_boxes, centres, from_centre
from onebit.tracking.crop import EXEMPLAR, INSTANCE, STRIDE, context_side, crop_and_resize, mean_colour
from onebit.tracking.images import Image, as_rgb
from onebit.tracking.opencv import load_cv2


class Network(Protocol):
    """What the tracker needs of a network: a :class:`~onebit.models.siamfc.SiamFC`, or a packed one."""

    @property
    def backbone(self) -> Callable[[Tensor], Tensor]:
        """(N, 3, H, W) float32, RGB 0..255 -> features (N, C, h, w)."""
        ...

    def response(self, exemplar: Tensor, search: Tensor) -> Tensor:
        """Features of one exemplar and of N searches -> (N, H - h + 1, W - w + 1), where high is alike."""
        ...


@dataclass(frozen=True)
class TrackerSettings:
    """The constants of the published tracker."""

    scales: int = 3
    """Sizes at which a frame is searched, an odd number."""
    scale_step: float = 1.0375
    """The factor from one to the next."""
    scale_penalty: float = 0.9745
    """Factor on the responses at every size but the present one."""
    scale_rate: float = 0.59
    """How much of a change of size is taken over in one frame."""
    window: float = 0.176
    """The share of the cosine window in what is searched for a peak."""
    upsampling: int = 16
    """The response is enlarged so many times."""
    side_limits: tuple[float, float] = (0.2, 5.0)
    """Least and largest side of the searched square, as multiples of the first one. The reference has no such limits."""

    def __post_init__(self) -> None:
        if self.scales < 1 or self.scales % 2 == 0 or self.scale_step < 1 or self.upsampling < 1:
            raise UsageError(
                f"a tracker has an odd number of scales, a scale_step and an upsampling of at least 1, got {self.scales}, "
                f"{self.scale_step} and {self.upsampling}"
            )
        if not 0 < self.side_limits[0] <= 1 <= self.side_limits[1]:
            raise UsageError(f"side_limits lie on both sides of 1, got {self.side_limits}")


@dataclass(frozen=True)
class Match:
    """Where the response peaks: shift of the target in pixels (dx, dy), the factor of its size, and the response there."""

    shift: NDArray[np.float64]
    factor: float
    response: float


class SiamTracker:
    """Follows what a box shows in the first frame.

    Args:
        network: a siamfc, which is put into evaluation mode, or a packed one.
        device: where a siamfc runs.

    State is float32, centre and size; the same frames give the same boxes. The side of the searched square is kept within
    ``side_limits`` and the centre within the image, and huge squares are cut from fewer pixels
    (:func:`~onebit.tracking.crop.crop_and_resize`), so that the cost of a frame has a bound wherever the tracker runs.

    >>> from onebit.models import create_model
    >>> tracker = SiamTracker(create_model("siamfc", "real"))
    >>> frame = np.zeros((90, 120, 3), np.uint8)
    >>> tracker.init(frame, [40, 30, 20, 20])  # doctest: +SKIP
    >>> box, score = tracker.update(frame)  # doctest: +SKIP
    >>> box.shape  # doctest: +SKIP
    (4,)
    """

    def __init__(
        self,
        network: Network,
        settings: TrackerSettings | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings = settings or TrackerSettings()
        self.device = torch.device(device)
        self.network = network
        if isinstance(network, nn.Module):
            network.to(self.device).eval()
        half = self.settings.scales // 2
        self.factors = self.settings.scale_step ** np.arange(-half, half + 1, dtype=np.float64)
        self._exemplar: Tensor | None = None
        self._window: NDArray[np.float64] | None = None

    @torch.no_grad()
    def init(self, image: NDArray, box: ArrayLike) -> None:
        """Start on the target in ``box``, 0-based (x, y, w, h).

        Raises:
            UsageError: for a box that is not finite, of at most one pixel's width or height, or outside the image.
        """
        frame = as_rgb(image)
        first = check_first_box(box, frame)
        self.centre = centres(first).astype(np.float32)
        self.size = first[2:].astype(np.float32)
        exemplar_side = context_side(self.size)
        self.side = exemplar_side * INSTANCE / EXEMPLAR
        self._bounds = self.side * np.array(self.settings.side_limits)
        self._fill = mean_colour(frame)
        crop = crop_and_resize(frame, self.centre, exemplar_side, EXEMPLAR, self._fill)
        self._exemplar = self.network.backbone(self._tensor([crop]))

    @torch.no_grad()
    def update(self, image: NDArray) -> tuple[Boxes, float]:
        """The target's box in the next frame, and the peak response as a probability, its logistic function.

        Raises:
            UsageError: before ``init``; OnebitError: for a response that is not finite.
        """
        if self._exemplar is None:
            raise UsageError("a tracker starts with init(image, box), then update(image) follows")
        frame = as_rgb(image)
        crops = [crop_and_resize(frame, self.centre, self.side * f, INSTANCE, self._fill) for f in self.factors]
        responses = self.network.response(self._exemplar, self.network.backbone(self._tensor(crops)))
        found = responses.cpu().numpy()
        if not np.isfinite(found).all():
            raise OnebitError(
                "the network answers with numbers that are not finite; its training diverged, take another"
            )
        match = self.match(found, float(self.side))
        height, width = frame.shape[:2]
        self.centre += match.shift.astype(np.float32)
        np.clip(self.centre, 0, [width - 1, height - 1], out=self.centre)
        rate = self.settings.scale_rate
        side = self.side * ((1 - rate) + rate * match.factor)
        growth = np.clip(side, *self._bounds) / self.side
        self.side = self.side * growth
        self.size *= growth
        return from_centre(self.centre, self.size), _logistic(match.response)

    def match(self, responses: NDArray[np.float32], side: float) -> Match:
        """Shift and scale of the target, from the responses (scales, h, w) of a search of ``side`` pixels.

        Enlarge them (cubic); penalise other scales; take the scale of the largest maximum; bring its response to sum 1 and blend
        it with the window; its first peak tells the shift.
        """
        settings, cv2 = self.settings, load_cv2()
        size = responses.shape[-1] * settings.upsampling
        large = np.stack([cv2.resize(r, (size, size), interpolation=cv2.INTER_CUBIC) for r in responses])
        middle = settings.scales // 2
        large[:middle] *= settings.scale_penalty
        large[middle + 1 :] *= settings.scale_penalty
        best = int(large.max(axis=(1, 2)).argmax())
        chosen = large[best] - large[best].min()
        chosen /= chosen.sum() + 1e-16
        blended = (1 - settings.window) * chosen + settings.window * self._cosine_window(size)
        row, column = np.unravel_index(int(blended.argmax()), blended.shape)
        steps = np.array([column, row]) - (size - 1) / 2
        factor = float(self.factors[best])
        shift = steps * (STRIDE / settings.upsampling) * side * factor / INSTANCE
        return Match(shift, factor, float(large[best].max()))

    def _cosine_window(self, size: int) -> NDArray[np.float64]:
        if self._window is None or len(self._window) != size:
            window = np.outer(np.hanning(size), np.hanning(size))
            self._window = window / window.sum()
        return self._window

    def _tensor(self, crops: list[Image]) -> Tensor:
        # Channels last in memory, as in training and in the reference: another layout may move a peak by one place.
        return torch.from_numpy(np.stack(crops)).to(self.device).permute(0, 3, 1, 2).float()


def _logistic(value: float) -> float:
    """``1 / (1 + exp(-value))``, without overflow."""
    return float(0.5 + 0.5 * np.tanh(value / 2))


def check_first_box(box: ArrayLike, frame: Image) -> Boxes:
    """The box a tracker starts on.

    Raises:
        UsageError: if it is not finite, of at most one pixel's width or height, or outside the image; with both sizes.
    """
    first = as_boxes(box)
    height, width = frame.shape[:2]
    told = "x {:g}, y {:g}, w {:g}, h {:g}".format(*first) if first.shape == (4,) else str(first.shape)
    if first.shape != (4,) or not np.isfinite(first).all():
        raise UsageError(f"the first box is four finite numbers x, y, w, h; got {told}")
    x, y, w, h = first
    if w <= 1 or h <= 1:
        raise UsageError(f"the first box ({told}) shows nothing: width and height are more than 1 pixel")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise UsageError(
            f"the first box ({told}) lies outside the image of {width}x{height} pixels; boxes are 0-based left, top, width, height"
        )
    return first
