"""From image files to pixels, and agreement of packed networks with PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import onebit
from deploy.hand_made import Builder, residual
from onebit.data import Augment, Batches
from onebit.data.folder import load_folder
from onebit.deploy.agreement import agreement, recorded_inputs
from onebit.deploy.images import read_pixels
from onebit.deploy.inspection import float_bytes, layers
from onebit.deploy.program import Operation, Program
from onebit.errors import DataError, UsageError


def program(channels: int, height: int, width: int, **data: Any) -> Program:
    metadata = {"input_shape": [channels, height, width], "run": {"data": data}} if data else {
        "input_shape": [channels, height, width]
    }  # fmt: skip
    return Program((Operation("input", channels=channels),), (), metadata)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    smooth = np.random.default_rng(1).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    Image.fromarray(smooth).resize((130, 90)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(("size", "crop"), [(0, 224), (64, 48), (40, 0), (32, 40)])
def test_pixels_are_those_of_evaluation(photo: Path, tmp_path: Path, size: int, crop: int) -> None:
    """The same file as the one image of a class folder, through the batches that a run is evaluated on."""
    for split in ("train", "val"):
        (tmp_path / "set" / split / "a").mkdir(parents=True)
        (tmp_path / "set" / split / "a" / "photo.png").write_bytes(photo.read_bytes())
    dataset = load_folder(tmp_path / "set", "test", image_size=size or None)
    dataset.mean, dataset.std = (0.0,) * 3, (1.0,) * 3
    images, _ = next(iter(Batches(dataset, 1, seed=0, train=False, augment=Augment(crop=crop)).epoch(0)))
    side = crop or size
    pixels = read_pixels(photo, program(3, side, side, dataset="folder", image_size=size))
    np.testing.assert_array_equal(pixels, images.mul(255).round().byte().numpy())


def test_shapes_that_are_no_square_and_grey_ones(photo: Path) -> None:
    pixels = read_pixels(photo, program(3, 30, 60))
    assert pixels.shape == (1, 3, 30, 60)
    expected = np.asarray(Image.open(photo).convert("RGB").resize((60, 42), Image.Resampling.BILINEAR))[6:36]
    np.testing.assert_array_equal(pixels[0].transpose(1, 2, 0), expected)
    grey = read_pixels(photo, program(1, 28, 28))
    assert (grey.shape, grey.dtype) == ((1, 1, 28, 28), np.uint8)


def test_files_and_networks_that_do_not_fit_are_refused(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png cannot be read as an image"):
        read_pixels(tmp_path / "text.png", program(3, 8, 8))
    with pytest.raises(DataError, match="there is no such file"):
        read_pixels(tmp_path / "none.png", program(3, 8, 8))
    with pytest.raises(UsageError, match="the network takes 4 channels"):
        read_pixels(photo, program(4, 8, 8))


def trained_a_little(method: str, **options: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    network = onebit.create_model(
        "resnet18", method, 10, 1, image_size=16, widths=(8, 8, 16, 16), method_options=options
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(5):
        loss = torch.nn.functional.cross_entropy(network(torch.randn(32, 1, 16, 16)), torch.randint(0, 10, (32,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize("method", ["bireal", "xnor", "abcnet"])
def test_a_packed_network_agrees_with_its_own_and_not_with_another(method: str) -> None:
    network = trained_a_little(method)
    packed = onebit.pack(network, (1, 16, 16), mean=[0.5], std=[0.25])
    batches = [torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8) for _ in range(2)]
    found = agreement(network, packed, batches)
    assert (found.images, found.same_class) == (40, 40)
    assert found.largest_difference < 1e-3
    assert found.flips is not None
    assert found.signs is not None
    assert found.signs > 40 * 16 * 64
    assert found.flips <= 2
    other = agreement(trained_a_little("bnn"), packed, batches)
    assert other.flips is not None
    assert other.flips > 1000
    assert other.largest_difference > 1e-2
    assert agreement(network, packed, batches[:1], count_flips=False).flips is None


def test_agreement_counts_a_sign_for_every_shift() -> None:
    batches = [torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)]
    one, several = (
        agreement(network, onebit.pack(network, (1, 16, 16), mean=[0.5], std=[0.25]), batches)
        for network in (trained_a_little("bireal"), trained_a_little("abcnet", activation_bases=5))
    )
    assert one.signs
    assert several.signs == 5 * one.signs


def test_inputs_are_recorded_as_the_layers_read_them() -> None:
    class ChangesItLater(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = onebit.nn.BinaryConv2d(2, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) + x.relu_()

    images = -torch.rand(1, 2, 3, 3)
    with recorded_inputs(network := ChangesItLater()) as read, torch.inference_mode():
        network(images.clone())
    assert torch.equal(read["conv"][0], images)


def test_agreement_needs_the_normalisation() -> None:
    network = trained_a_little("bireal")
    with pytest.raises(UsageError, match="without mean and std"):
        agreement(network, onebit.pack(network, (1, 16, 16)), [])


def test_sizes_add_up() -> None:
    whole = residual((16, 24), classes=5)
    binary = [16 * 16 * 9] * 2 + [16 * 24 * 9] + [24 * 24 * 9] * 2
    real = 3 * 16 * 9 + 16 * 24 + 24 * 5
    biases = 16 * 3 + 24 * 4 + 5
    assert float_bytes(whole) == 4 * (sum(binary) + real + biases)
    listed = layers(whole)
    assert [layer.weights for layer in listed if layer.bits == 1] == binary
    assert sum(layer.bytes for layer in listed) == sum(
        t.nbytes if t.dtype != bool else -(-t.size // 8) for t in whole.tensors
    )
    several = Builder(8)
    several.binary_conv(0, 8, bases=3)
    assert float_bytes(several.program(4, 4)) == 4 * (8 * 8 * 9 + 8)
    unknown = Program(whole.operations, whole.tensors)
    assert layers(unknown)[1].output_shape is None
