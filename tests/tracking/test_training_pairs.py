"""What trackers learn from: frames that count, pairs, crops, labels, loss, rates; batches are pure functions of the seed."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onebit.errors import DataError, UsageError
from onebit.tracking.augment import centre_crop, random_crop, stretch, vary_exemplar, vary_search
from onebit.tracking.labels import balanced_loss, label_map
from onebit.tracking.pair_batches import PairBatches
from onebit.tracking.pairs import draw_pair, find_stills, make_source, split_videos, usable_frames
from onebit.tracking.sequences import Sequence
from onebit.training import load_recipe
from onebit.training.optimization import make_optimizer, parameter_groups, schedule_factor
from onebit.training.recipe import PairsConfig

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of a textured square on noise, four frames each, and two stills."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "stills/x"):
        (root / name).mkdir(parents=True)
    for name in ("a", "b"):
        for i in range(4):
            image = rng.integers(0, 90, (120, 160, 3), np.uint8)
            image[40:70, 30 + 5 * i : 60 + 5 * i] = 255 if name == "a" else (200, 20, 20)
            cv2.imwrite(str(root / name / f"{i + 1:04}.png"), image)
    for i in range(2):
        cv2.imwrite(str(root / f"stills/x/{i}.png"), rng.integers(0, 256, (100, 130, 3), np.uint8))
    return root


def videos(folder):
    boxes = np.array([(30 + 5 * i, 40, 30, 30) for i in range(4)], float)
    return [Sequence(name, tuple(sorted((folder / name).iterdir())), boxes.copy()) for name in ("a", "b")]


@pytest.fixture
def source(folder):
    return make_source(videos(folder), find_stills(folder / "stills"), PairsConfig(per_sequence=3, per_still=2))


def boxed(sizes, cover=None):
    boxes = np.array([(1, 1, w, h) for w, h in sizes], float)
    from pathlib import Path

    return Sequence("s", tuple(Path(f"{i}.jpg") for i in range(len(sizes))), boxes, cover=cover)


def test_frames_that_training_may_use():
    sizes = [(20, 20), (19, 40), (20, 80), (20, 81), (80, 20), (81, 20), (200, 150), (201, 60), (60, 151), (np.nan, 30)]
    assert usable_frames(boxed(sizes), (400, 300)).tolist() == [0, 2, 4, 6]
    assert usable_frames(boxed(sizes), (400, 300), min_size=5).tolist() == [0, 1, 2, 4, 6]
    assert usable_frames(boxed([(501, 300), (500, 300)]), (1200, 700)).tolist() == [1]
    assert usable_frames(boxed([(20, 20)]), (2001, 700)).tolist() == []


@pytest.mark.parametrize(
    ("cover", "kept"), [([0, 1, 2, 3, 8], [3, 4]), ([0, 1, 2, 2, 2], [2, 3, 4]), ([1, 1, 0, 1, 1], [])]
)
def test_hidden_targets_are_passed_over(cover, kept):
    assert usable_frames(boxed([(30, 30)] * 5, np.array(cover)), (400, 300)).tolist() == kept


def test_pairs_of_frames():
    rng = np.random.default_rng(0)
    assert draw_pair(np.array([3, 900]), rng) == (3, 900)
    drawn = [draw_pair(np.arange(0, 500, 5), rng) for _ in range(500)]
    assert all(first < second < first + 100 for first, second in drawn)
    assert len(set(drawn)) > 300
    apart = np.array([0, 1000, 2000])
    assert {draw_pair(apart, rng) for _ in range(60)} == {(0, 0), (1000, 1000), (2000, 2000)}


def test_crops_have_the_sizes_and_the_target_in_the_middle(source):
    rng = np.random.default_rng(0)
    for index in range(len(source)):
        exemplar, search = source.pair(index, rng)
        assert exemplar.shape == (127, 127, 3)
        assert search.shape == (239, 239, 3)
    exemplar, search = source.plain_pair(0, rng)  # video a: white on dark
    assert exemplar[63, 63].tolist() == search[119, 119].tolist() == [255, 255, 255]
    assert exemplar[3, 3].max() < 100
    # The box is 30 pixels of a context of 60, which is 127 pixels of the crop.
    assert 60 <= (search[119, :, 0] > 200).sum() <= 67


def test_stretch_and_crops():
    rng = np.random.default_rng(0)
    image = np.arange(255 * 255 * 3, dtype=np.int64).reshape(255, 255, 3).astype(np.uint8)
    sides = {stretch(image, rng).shape[0] for _ in range(200)}
    assert min(sides) == 242
    assert max(sides) == 268
    assert vary_exemplar(image, rng).shape == (127, 127, 3)
    assert vary_search(image, rng).shape == (239, 239, 3)
    assert centre_crop(image, 247).tolist() == image[4:251, 4:251].tolist()
    small = np.full((4, 6, 3), 8, np.uint8)
    small[0] = 0
    assert centre_crop(small, 8)[0, 0].tolist() == [6, 6, 6]
    places = np.stack(np.mgrid[:20, :20].astype(np.uint8)[[0, 1, 0]], axis=-1)
    corners = {tuple(random_crop(places, 17, rng)[0, 0, :2].tolist()) for _ in range(300)}
    assert corners == {(row, column) for row in range(4) for column in range(4)}


def test_labels_and_loss():
    labels = label_map()
    assert labels.shape == (15, 15)
    assert labels.sum() == 13
    assert labels[7, 5:10].tolist() == [1] * 5
    assert labels[5:10, 7].tolist() == [1] * 5
    assert labels[6, 5] == 0
    response = torch.randn(3, 15, 15, dtype=torch.float64)
    target = labels.expand(3, 15, 15).double()
    weight = torch.where(target > 0.5, 0.5 / target.sum(), 0.5 / (1 - target).sum())
    expected = F.binary_cross_entropy_with_logits(response, target, weight, reduction="sum")
    torch.testing.assert_close(balanced_loss(response, target), expected)
    assert balanced_loss(torch.zeros(3, 15, 15), target).item() == pytest.approx(0.6931, abs=1e-4)


def test_rates_are_the_published_ones():
    recipe = load_recipe("siamfc")
    steps = 10
    rates = [recipe.optimizer.lr * schedule_factor(recipe.schedule, e * steps + 3, steps, 50) for e in (0, 24, 49)]
    assert rates == pytest.approx([1e-2, 3.6308e-4, 1.1482e-5], rel=1e-4)
    one, two = (schedule_factor(recipe.schedule, e * steps, steps, 50) for e in (7, 8))
    assert two / one == pytest.approx(0.870963590)


def test_the_published_optimiser_decays_everything():
    from onebit import create_model

    recipe = load_recipe("siamfc")
    network = create_model("siamfc", "real", widths=(6, 8, 12, 12, 8))
    groups = parameter_groups(network, recipe.optimizer)
    assert {group["weight_decay"] for group in groups} == {5e-4}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    optimizer = make_optimizer(network, recipe.optimizer)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.9
    assert recipe.data.batch_size == 8


def flat(batches, epoch=0, start=0):
    return [(z, x, y) for (z, x), y in batches.epoch(epoch, start)]


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_batches_are_functions_of_seed_epoch_and_step(source):
    make = lambda **changes: PairBatches(source, 4, **{"seed": 3, "train": True, **changes})  # noqa: E731
    whole = flat(make(), 1)
    assert len(whole) == len(make()) == 2
    assert [part.shape for part in whole[0]] == [(4, 3, 127, 127), (4, 3, 239, 239), (4, 15, 15)]
    assert whole[0][0].dtype == torch.float32
    assert whole[0][0].max() > 100
    assert same(flat(make(), 1), whole)
    assert same(flat(make(), 1, start=1), whole[1:])
    assert same(flat(make(workers=2), 1), whole)
    halves = [flat(make(rank=rank, world_size=2), 1) for rank in (0, 1)]
    assert same([tuple(map(torch.cat, zip(*pair, strict=True))) for pair in zip(*halves, strict=True)], whole)
    assert not same(flat(make(), 2), whole)
    assert not same(flat(make(seed=4), 1), whole)
    measured = PairBatches(source, 4, seed=0, train=False)
    assert same(flat(measured, 0), flat(measured, 5))
    assert sum(len(y) for _, _, y in flat(measured)) == len(source) == 10


def test_a_sequence_without_two_frames_gives_way_to_another(folder):
    one, other = videos(folder)
    blind = dataclasses.replace(other, boxes=np.full((4, 4), np.nan))
    source = make_source([one, blind], [], PairsConfig())
    white = source.pair(1, np.random.default_rng(0))[0]
    assert white[63, 63].min() > 240


def test_nothing_to_train_on(folder):
    blind = [dataclasses.replace(video, boxes=np.full((4, 4), np.nan)) for video in videos(folder)]
    with pytest.raises(DataError, match=r"none of the 2 sequences.*20 to 500 pixels.*min_size"):
        make_source(blind, [], PairsConfig())
    assert len(make_source(blind, find_stills(folder / "stills"), PairsConfig())) == 2
    with pytest.raises(DataError, match="--data"):
        make_source([], [], PairsConfig())
    with pytest.raises(DataError, match="holds no images"):
        find_stills(folder / "none")


def test_holding_out(folder):
    train, held = split_videos(videos(folder), ["b*"])
    assert ([v.name for v in train], [v.name for v in held]) == (["a"], ["b"])
    with pytest.raises(UsageError, match="'c', which matches no sequence; there are: a, b"):
        split_videos(videos(folder), ["c"])
