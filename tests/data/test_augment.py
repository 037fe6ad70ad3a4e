import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit.data.augment import Augment, Normalise, centre_crop, crop_and_flip, cutout, draws, order
from onebit.errors import UsageError


def one_by_one(images: torch.Tensor, numbers: torch.Tensor, augment: Augment) -> torch.Tensor:
    """The documented formula, image by image."""
    h, w = augment.output_size((images.shape[2], images.shape[3]))
    results = []
    for image, (top, left, flip, *_) in zip(images, numbers.tolist(), strict=True):
        p = augment.pad
        canvas = torch.zeros(image.shape[0], image.shape[1] + 2 * p, image.shape[2] + 2 * p, dtype=torch.uint8)
        canvas[:, p : p + image.shape[1], p : p + image.shape[2]] = image
        y, x = int(top * (canvas.shape[1] - h + 1)), int(left * (canvas.shape[2] - w + 1))
        part = canvas[:, y : y + h, x : x + w]
        results.append(part.flip(-1) if augment.flip and flip < 0.5 else part)
    return torch.stack(results)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_batched_crops_equal_single_ones(data: st.DataObject) -> None:
    shape = [data.draw(st.integers(1, limit)) for limit in (5, 4, 9, 9)]
    pad = data.draw(st.integers(0, 4))
    crop = data.draw(st.integers(0, min(shape[2:]) + 2 * pad))
    augment = Augment(crop=crop, pad=pad, flip=data.draw(st.booleans()))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    numbers = draws(data.draw(st.integers(-5, 5)), 0, 0, shape[0])
    assert torch.equal(crop_and_flip(images, numbers, augment), one_by_one(images, numbers, augment))


def test_every_offset_and_both_orientations_occur_equally_often() -> None:
    images = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3).expand(9000, 1, 3, 3)
    corners = crop_and_flip(images, draws(0, 0, 0, 9000), Augment(crop=1, pad=1))[:, 0, 0, 0].bincount(minlength=10)
    # 25 offsets; 16 of them show the black padding.
    assert abs(corners[0] - 9000 * 16 / 25) < 200
    assert all(abs(count - 360) < 80 for count in corners[1:])
    left = crop_and_flip(images, draws(0, 0, 0, 9000), Augment(flip=True))[:, 0, 0, 0]
    assert abs((left == 3).sum() - 4500) < 200


def test_the_largest_draw_stays_inside() -> None:
    numbers = torch.full((1, 5), 1 - 2**-53, dtype=torch.float64)
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    assert crop_and_flip(image, numbers, Augment(crop=2))[0, 0].tolist() == [[10, 11], [14, 15]]
    assert cutout(image.float(), numbers, 2)[0, 0, 2:, 2:].tolist() == [[0, 0], [0, 0]]


def test_flip_moves_no_crop() -> None:
    images = torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8)
    numbers = draws(1, 2, 3, 8)
    plain = crop_and_flip(images, numbers, Augment(pad=2))
    mirrored = crop_and_flip(images, numbers, Augment(pad=2, flip=True))
    for a, b in zip(plain, mirrored, strict=True):
        assert torch.equal(a, b) or torch.equal(a, b.flip(-1))


ORDER = [6, 7, 1, 3, 0, 4, 5, 2]
DRAWS = [0.343793, 0.44225, 0.842401, 0.323087, 0.100371]


def test_draws_are_fixed_for_all_time() -> None:
    # Golden values: if these change, runs are no longer reproducible across versions of onebit.
    assert order(0, 0, 8).tolist() == ORDER
    assert [round(value, 6) for value in draws(1, 2, 3, 1)[0].tolist()] == DRAWS
    assert not torch.equal(draws(1, 2, 3, 4), draws(1, 3, 2, 4))
    assert not torch.equal(order(0, 1, 50), order(1, 0, 50))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 14))
def test_cutout_is_one_square_of_zeros_clipped_at_the_border(height: int, width: int, side: int) -> None:
    numbers = draws(0, 0, 0, 6)
    images = cutout(torch.ones(6, 2, height, width), numbers, side)
    for image, row in zip(images, numbers.tolist(), strict=True):
        expected = torch.ones(height, width)
        top, left = int(row[3] * height) - side // 2, int(row[4] * width) - side // 2
        expected[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0
        assert torch.equal(image, expected.expand(2, height, width))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_centre_crop_keeps_the_middle(height: int, width: int, crop: int) -> None:
    images = torch.randint(1, 256, (2, 3, height, width), dtype=torch.uint8)
    result = centre_crop(images, crop)
    assert result.shape == (2, 3, crop, crop)
    y, x = (height - crop) // 2, (width - crop) // 2
    for row in range(crop):
        for column in range(crop):
            inside = 0 <= y + row < height and 0 <= x + column < width
            expected = images[0, 0, y + row, x + column] if inside else 0
            assert result[0, 0, row, column] == expected


def test_normalise_is_the_formula() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 2, 16, 16)
    result = Normalise((0.1, 0.6), (0.2, 0.3), torch.device("cpu"))(images)
    mean, std = torch.tensor([0.1, 0.6]).view(2, 1, 1), torch.tensor([0.2, 0.3]).view(2, 1, 1)
    torch.testing.assert_close(result, (images / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    assert result.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_bits_on_the_gpu() -> None:
    images, numbers = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8), draws(0, 1, 2, 64)
    augment = Augment(pad=4, flip=True)
    results = []
    for device in ("cpu", "cuda"):
        pixels = crop_and_flip(images.to(device), numbers, augment)
        floats = Normalise((0.49, 0.48, 0.45), (0.25, 0.24, 0.26), torch.device(device))(pixels)
        results.append(cutout(floats, numbers, 16).cpu())
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": -1}, "augment.crop is -1"),
        ({"pad": -2}, "augment.pad is -2"),
        ({"cutout": -3}, "augment.cutout is -3"),
        ({"scale": (0.0, 1.0)}, r"augment.scale is \(0.0, 1.0\)"),
        ({"scale": (0.5, 0.2)}, "augment.scale"),
        ({"random_resized": True, "pad": 4}, "augment.pad is 4 together with random_resized"),
    ],
)
def test_impossible_values(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augment(**options)


def test_a_crop_larger_than_the_padded_image() -> None:
    with pytest.raises(UsageError, match=r"augment.crop is 40, but images of 32x32 padded by 2 reach only 36"):
        Augment(crop=40, pad=2).output_size((32, 32))
