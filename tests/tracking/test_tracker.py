"""The tracker: a planted peak, a toy that it must follow, a centre that runs away, first boxes that cannot be."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from onebit import create_model
from onebit.errors import OnebitError, UsageError
from onebit.models.siamfc import SiamFC
from onebit.tracking.tracker import SiamTracker, TrackerSettings

pytest.importorskip("cv2")

STEP = 8 / 16 / 255


class Pixels(nn.Module):
    """Features that are the pixels themselves, averaged over 8 x 8, less a grey, so that correlation finds what looks alike."""

    def forward(self, images):
        pooled = nn.functional.avg_pool2d(images, 8) - 128.0
        return pooled[:, :, 5:27, 5:27] if images.shape[-1] == 255 else pooled[:, :, 5:11, 5:11]


class Correlation(SiamFC):
    """The network of the toy: raw pixels, normalised so that plain ground does not win."""

    def __init__(self):
        nn.Module.__init__(self)
        self.backbone, self.scale, self.gain = Pixels(), 1e-6, None


class Fixed:
    """Responds to everything with one value."""

    def __init__(self, value):
        self.value = value

    def backbone(self, images):
        return images

    def response(self, exemplar, search):
        return torch.full((len(search), 17, 17), self.value)


@pytest.fixture(scope="module")
def tracker():
    torch.manual_seed(0)
    return SiamTracker(create_model("siamfc", "real", widths=(6, 8, 12, 12, 8)))


def frames(count=6, size=(90, 120), seed=0):
    return [np.random.default_rng(seed + i).integers(0, 256, (*size, 3), np.uint8) for i in range(count)]


def follow(tracker, images, box=(40, 30, 24, 20)):
    tracker.init(images[0], box)
    return [tracker.update(image) for image in images[1:]]


@pytest.mark.parametrize(("row", "column", "scale"), [(8, 8, 1), (5, 8, 1), (8, 12, 0), (2, 3, 2), (16, 0, 1)])
def test_a_planted_peak_gives_the_shift(tracker, row, column, scale):
    settings = TrackerSettings(window=0.0)
    searcher = SiamTracker(tracker.network, settings)
    responses = np.zeros((3, 17, 17), np.float32)
    responses[scale, row, column] = 5.0
    match = searcher.match(responses, side=100.0)
    factor = 1.0375 ** (scale - 1)
    assert match.factor == pytest.approx(factor)
    # The middle of the enlarged response is at 135.5; a peak at (row, column) comes out at 16 (row + 0.5) - 0.5, or, at a
    # border, where it is cut.
    expected = (np.array([column, row]) + 0.5) * 16 - 0.5 - 135.5
    assert np.abs(match.shift / (STEP * 100 * factor) - expected).max() <= (0.5 if 0 < column < 16 else 8)
    penalty = 1 if scale == 1 else 0.9745
    overshoot = 0.03 if 0 < column < 16 else 0.3  # of the cubic, at a border
    assert match.response == pytest.approx(5 * penalty, rel=overshoot)


def test_the_first_of_equal_peaks_and_the_window(tracker):
    responses = np.zeros((3, 17, 17), np.float32)
    bare = SiamTracker(tracker.network, TrackerSettings(window=0.0)).match(responses, 255.0)
    assert bare.shift == pytest.approx(np.full(2, -135.5 * 0.5 / 1.0375))
    assert bare.factor == pytest.approx(1 / 1.0375)
    windowed = tracker.match(responses, 255.0)
    assert np.abs(windowed.shift).max() < 0.5


def test_penalties_multiply_and_raise_negative_responses(tracker):
    responses = np.full((3, 17, 17), -1.0, np.float32)
    assert tracker.match(responses, 1.0).response == pytest.approx(-0.9745, rel=1e-5)


def moving_toy(count=25, size=(160, 200)):
    """A textured object on plain grey, moving two pixels right and one down a frame."""
    texture = np.random.default_rng(3).integers(0, 2, (5, 5, 3)).repeat(5, 0).repeat(5, 1).astype(np.uint8) * 255
    images, boxes = [], []
    for i in range(count):
        image = np.full((*size, 3), 128, np.uint8)
        x, y = 30 + 2 * i, 40 + i
        image[y : y + 25, x : x + 25] = texture
        images.append(image)
        boxes.append((x, y, 25, 25))
    return images, np.array(boxes, float)


def test_a_perfect_toy_is_followed():
    images, boxes = moving_toy()
    tracker = SiamTracker(Correlation())
    found = np.array([box for box, _ in follow(tracker, images, boxes[0])])
    error = np.abs(found[:, :2] + found[:, 2:] / 2 - boxes[1:, :2] - boxes[1:, 2:] / 2)
    assert error.max() < 4
    assert np.abs(found[:, 2:] / 25 - 1).max() < 0.25


def test_the_same_frames_give_the_same_boxes_and_a_new_start_forgets(tracker):
    first = follow(tracker, frames())
    follow(tracker, frames(seed=50), (10, 10, 50, 40))
    again = follow(tracker, frames())
    assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(first, again, strict=True))
    assert all(0 < score < 1 for _, score in first)
    assert tracker.centre.dtype == tracker.size.dtype == np.float32


def test_grey_alpha_and_16_bit_frames_are_the_same_video(tracker):
    grey = [image[:, :, 0] for image in frames(3)]
    kinds = [
        [np.repeat(image[:, :, None], 3, 2) for image in grey],
        grey,
        [np.dstack([image] * 3 + [np.full_like(image, 9)]) for image in grey],
        [image.astype(np.uint16) << 8 for image in grey],
    ]
    boxes = [[box.tolist() for box, _ in follow(tracker, images)] for images in kinds]
    assert boxes[0] == boxes[1] == boxes[2] == boxes[3]


def test_frames_may_have_any_memory_layout(tracker):
    images = frames(3)
    turned = [np.asfortranarray(image) for image in images]
    assert [b.tolist() for b, _ in follow(tracker, turned)] == [b.tolist() for b, _ in follow(tracker, images)]


class Drift(Pixels):
    """Features by which the searched image always matches best at its right border and largest size."""

    def forward(self, images):
        maps = super().forward(images) * 0 + 1
        if images.shape[-1] == 255:
            maps = maps * torch.arange(22.0) * torch.arange(1.0, 1.0 + len(images)).view(-1, 1, 1, 1)
        return maps


def test_a_centre_that_runs_away_stays_in_the_image_at_a_flat_cost():
    network = Correlation()
    network.backbone = Drift()
    tracker = SiamTracker(network, TrackerSettings(side_limits=(0.5, 2.0)))
    image = frames(1, (120, 160))[0]
    tracker.init(image, (60, 50, 30, 30))
    start, seconds = float(tracker.side), []
    for _ in range(50):
        began = time.perf_counter()
        box, _ = tracker.update(image)
        seconds.append(time.perf_counter() - began)
    assert tracker.centre[0] == 159
    assert 0 <= tracker.centre[1] <= 119
    assert float(tracker.side) == pytest.approx(2 * start, rel=1e-4)
    assert np.isfinite(box).all()
    assert (box[2:] > 0).all()
    assert np.median(seconds[-10:]) < 5 * np.median(seconds[:10]) + 0.05


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 0, 10), "shows nothing"),
        ((0, 0, 10, 1), "shows nothing"),
        ((5, 5, -3, 10), "shows nothing"),
        ((120, 0, 10, 10), "outside the image of 120x90"),
        ((0, 90, 10, 10), "outside"),
        ((-10, 0, 10, 10), "outside"),
        ((0, -30, 10, 20), "outside"),
        ((np.nan, 0, 10, 10), "finite"),
        ((0, 0, np.inf, 10), "finite"),
        ((0, 0, 10), "shape"),
        ([(0, 0, 10, 10)], "first box"),
    ],
)
def test_first_boxes_that_cannot_be(tracker, box, words):
    with pytest.raises(UsageError, match=words):
        tracker.init(np.zeros((90, 120, 3), np.uint8), box)


def test_a_first_box_may_stick_out(tracker):
    image = frames(1)[0]
    tracker.init(image, (-10, 80, 30, 30))
    assert np.isfinite(tracker.update(image)[0]).all()


@pytest.mark.parametrize(("value", "score"), [(-5000.0, 0), (0.0, 0.5), (2.0, 1 / (1 + np.exp(-2))), (5000.0, 1)])
def test_the_score_is_the_logistic_function_whatever_the_response(value, score):
    ((_, got),) = follow(SiamTracker(Fixed(value)), frames(2))
    assert got == pytest.approx(score)


def test_a_network_that_diverged_is_told():
    with pytest.raises(OnebitError, match="not finite; its training diverged"):
        follow(SiamTracker(Fixed(np.nan)), frames(2))


def test_update_before_init(tracker):
    with pytest.raises(UsageError, match="init"):
        SiamTracker(tracker.network).update(frames(1)[0])


@pytest.mark.parametrize(
    "settings", [{"scales": 2}, {"scales": 0}, {"scale_step": 0.9}, {"upsampling": 0}, {"side_limits": (2, 3)}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(UsageError, match="got"):
        TrackerSettings(**settings)


def test_the_exemplar_is_computed_once_and_any_object_can_be_the_network(tracker):
    calls = []

    class Recorded:
        def backbone(self, images):
            calls.append(tuple(images.shape))
            return tracker.network.backbone(images)

        def response(self, exemplar, search):
            return tracker.network.response(exemplar, search)

    given = follow(SiamTracker(Recorded()), frames(3))
    own = follow(tracker, frames(3))
    assert calls == [(1, 3, 127, 127), (3, 3, 255, 255), (3, 3, 255, 255)]
    assert [box.tolist() for box, _ in given] == [box.tolist() for box, _ in own]
