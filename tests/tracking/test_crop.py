"""Crops against a slow version that looks at every pixel on its own."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit.errors import UsageError
from onebit.tracking.crop import context_side, crop_and_resize, crop_square, mean_colour, search_side
from onebit.tracking.images import as_rgb

pytest.importorskip("cv2")

FILL = np.array([7, 250, 99], np.uint8)


def slow_square(image, centre, side, fill):
    """The rule of the specification, pixel by pixel; Python rounds half to even."""
    n = max(1, round(side))
    x0, y0 = round(centre[0] - (n - 1) / 2), round(centre[1] - (n - 1) / 2)
    square = np.empty((n, n, 3), np.uint8)
    for row in range(n):
        for column in range(n):
            y, x = y0 + row, x0 + column
            inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
            square[row, column] = image[y, x] if inside else fill
    return square


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


halves = st.integers(-40, 60).map(lambda k: k / 2)


def test_huge_squares_take_bounded_memory_and_show_the_same():
    image = np.zeros((900, 1200, 3), np.uint8)
    image[300:600, 400:800] = 200
    rows, columns = np.mgrid[:255, :255]
    # The side of a square of 20,000 pixels is 255 here; a pixel here covers 78.
    y, x = ((grid + 0.5) * 20_000 / 255 - 10_000 + middle for grid, middle in ((rows, 450), (columns, 600)))
    inside = (y > 300) & (y < 600) & (x > 400) & (x < 800)
    near = (np.abs(y - 450) < 450 + 160) & (np.abs(x - 600) < 600 + 160)
    tracemalloc.start()
    crop = crop_and_resize(image, (600, 450), 20_000, 255)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
    assert crop.shape == (255, 255, 3)
    assert (crop[inside, 0] > 150).all()
    assert (crop[~near, 0] == mean_colour(image)[0]).all()


@settings(max_examples=150, deadline=None)
@given(
    x=halves, y=halves, side=st.integers(1, 50).map(lambda k: k / 2), height=st.integers(1, 9), width=st.integers(1, 9)
)
def test_every_pixel_at_every_border(x, y, side, height, width):
    image = noise(height, width)
    assert np.array_equal(crop_square(image, (x, y), side, FILL), slow_square(image, (x, y), side, FILL))


@pytest.mark.parametrize(
    "centre", [(-3.3, 4), (12, -2.5), (14.9, 9.2), (3, 12.5), (-5, -5), (20, 15), (7, 5), (1e6, -1e6)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_left_top_right_bottom_corners_inside_and_far_away(centre, dtype):
    image = noise(10, 15)
    centre = np.array(centre, dtype)
    for side in (0.2, 1, 6.5, 7, 40):
        assert np.array_equal(crop_square(image, centre, dtype(side), FILL), slow_square(image, centre, side, FILL))


def test_memory_and_time_do_not_grow_with_the_distance():
    image = noise(480, 640)
    crop_and_resize(image, (0, 0), 300.0, 255)
    costs = []
    for distance in (100, 10_000, 100_000_000):
        tracemalloc.start()
        began = time.perf_counter()
        crop_square(image, (distance, -distance), 300.0, FILL)
        costs.append((tracemalloc.get_traced_memory()[1], time.perf_counter() - began))
        tracemalloc.stop()
    assert max(memory for memory, _ in costs) < 2 * 300 * 300 * 3
    assert max(seconds for _, seconds in costs) < 0.5


def test_context_and_mean():
    assert context_side(np.array([30.0, 50.0])) == pytest.approx(((30 + 40) * (50 + 40)) ** 0.5)
    assert search_side(np.array([40.0, 40.0])) == pytest.approx(80 * 255 / 127)
    assert search_side(np.array([40, 40], np.float32)).dtype == np.float32
    image = noise(31, 17)
    assert np.array_equal(mean_colour(image), np.rint(image.astype(np.float64).mean((0, 1))))
    assert mean_colour(image[:, ::-1]).tolist() == mean_colour(image).tolist()  # a view with steps that are negative


def test_resizing_fills_with_the_mean_by_default():
    image = np.full((20, 20, 3), 100, np.uint8)
    image[:10] = 50
    crop = crop_and_resize(image, (500, 500), 40.0, 16)
    assert crop.shape == (16, 16, 3)
    assert set(crop.flatten().tolist()) == {75}


def test_any_image_becomes_rgb():
    image = noise(4, 5)
    assert as_rgb(image) is image or np.shares_memory(as_rgb(image), image)
    grey = image[:, :, 0]
    for given_image in (grey, grey[:, :, None], grey.astype(np.uint16) * 257, grey.astype(np.float32) / 255):
        assert np.array_equal(as_rgb(given_image), np.repeat(grey[:, :, None], 3, 2))
    alpha = np.dstack([image, grey])
    assert np.array_equal(as_rgb(alpha), image)
    assert np.array_equal(as_rgb(alpha.astype(np.uint16) << 8), image)
    assert as_rgb(grey > 100).max() == 255


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 3, 2), np.uint8), r"\(3, 3, 2\)"),
        (np.zeros((3,), np.uint8), r"\(3,\)"),
        (np.zeros((0, 3), np.uint8), r"\(0, 3\)"),
        (np.zeros((3, 3), np.int64), "int64"),
        (np.full((3, 3), 200.0), "0 to 1, got 200"),
        (np.full((3, 3), np.nan), "0 to 1, got nan"),
    ],
)
def test_images_that_cannot_be(image, words):
    with pytest.raises(UsageError, match=words):
        as_rgb(image)
