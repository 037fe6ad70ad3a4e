from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onebit.data.augment import Augment, resized_draws
from onebit.data.decode import central_square, part_box, random_part, to_rgb

COLOURS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    square = COLOURS[:, 5:35]
    assert np.array_equal(central_square(Image.fromarray(square), 30), square.transpose(2, 0, 1))
    # Only the middle is taken where the short side fits already.
    assert np.array_equal(central_square(Image.fromarray(COLOURS), 30), square.transpose(2, 0, 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_any_size_becomes_the_square(width: int, height: int, size: int) -> None:
    image = Image.new("RGB", (width, height), (10, 20, 30))
    result = central_square(image, size)
    assert result.shape == (3, size, size)
    assert np.array_equal(result, np.broadcast_to(np.array([10, 20, 30]).reshape(3, 1, 1), result.shape))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new(mode, (4, 3))
    assert to_rgb(image).mode == "RGB"


def test_sixteen_bits_are_scaled_and_palettes_looked_up(tmp_path: Path) -> None:
    deep = Image.fromarray(np.array([[0, 256 * 7, 65535]], dtype=np.uint16))
    assert np.asarray(to_rgb(deep))[0, :, 0].tolist() == [0, 7, 255]
    palette = Image.new("P", (2, 1))
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "a.png", transparency=b"\x00\xff")
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(to_rgb(image)).tolist() == [[[1, 2, 3], [4, 5, 6]]]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000), st.floats(0.01, 1), st.floats(0.01, 1))
def test_random_parts_lie_inside_and_keep_the_rules(width: int, height: int, seed: int, a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    left, top, right, bottom = part_box((width, height), (low, high), resized_draws(seed, 0, 0))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    # Rounding to pixels moves a side by up to a half, and never below 1.
    assert (w - 1) / (h + 1) <= 4 / 3
    assert (h - 1) / (w + 1) <= 4 / 3
    assert (
        w * h <= high * width * height + (w + h) + 1
        or (w, h) == (1, 1)
        or width / height > 4 / 3
        or height / width > 4 / 3
    )


def test_the_whole_image_when_scale_is_one_and_square() -> None:
    boxes = {part_box((100, 100), (1.0, 1.0), resized_draws(0, 0, index)) for index in range(40)}
    assert (0, 0, 100, 100) in boxes
    assert part_box((1000, 10), (1.0, 1.0), resized_draws(0, 0, 0)) == (493, 0, 506, 10)


def test_a_random_part_of_a_large_jpeg_is_close_to_the_undrafted_one(tmp_path: Path) -> None:
    y, x = np.mgrid[0:400, 0:600]
    smooth = np.stack([x * 255 // 599, y * 255 // 399, (x + y) * 255 // 998], axis=-1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    augment = Augment(crop=32, random_resized=True, scale=(0.5, 1.0))
    with Image.open(tmp_path / "a.jpg") as image:
        drafted = random_part(image, 32, augment, resized_draws(0, 0, 1))
        assert image.size != (600, 400)
    whole = random_part(Image.fromarray(smooth), 32, augment, resized_draws(0, 0, 1))
    assert drafted.shape == (3, 32, 32)
    assert np.abs(drafted.astype(int) - whole).max() <= 8
