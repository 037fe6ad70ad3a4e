from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onebit.data import Augment, Batches, Dataset
from onebit.errors import DataError, UsageError

Make = Callable[..., Dataset]
AUGMENT = Augment(pad=2, flip=True, cutout=3)


def everything(batches: Batches, epoch: int = 0, start: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(batches.epoch(epoch, start))


def same(a: list[tuple[torch.Tensor, torch.Tensor]], b: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True)
    )


def test_batches_depend_on_seed_epoch_and_step_only(small_set: Make) -> None:
    batches = Batches(small_set(), 6, seed=3, train=True, augment=AUGMENT)
    first = everything(batches, 5)
    everything(batches, 1)
    torch.rand(100)
    assert same(everything(batches, 5), first)
    assert same(everything(Batches(small_set(), 6, seed=3, train=True, augment=AUGMENT), 5), first)
    assert same(everything(batches, 5, start=2), first[2:])
    assert not same(everything(batches, 6), first)
    assert not same(everything(Batches(small_set(), 6, seed=4, train=True, augment=AUGMENT), 5), first)


def test_the_global_random_state_is_left_alone(small_set: Make) -> None:
    state = torch.get_rng_state()
    everything(Batches(small_set(), 6, seed=3, train=True, augment=AUGMENT))
    assert torch.equal(torch.get_rng_state(), state)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 40), per_rank=st.integers(1, 7), world=st.integers(1, 4), train=st.booleans())
def test_the_ranks_together_are_the_one_process(count: int, per_rank: int, world: int, train: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 5, 5), generator=generator, dtype=torch.uint8)
    data = Dataset("made", "train", images, torch.arange(count) % 3, ["a", "b", "c"], (0.5,), (0.5,))
    size = per_rank * world
    whole = everything(Batches(data, size, seed=1, train=train, augment=AUGMENT), 2)
    ranks = [
        everything(Batches(data, size, seed=1, train=train, augment=AUGMENT, rank=rank, world_size=world), 2)
        for rank in range(world)
    ]
    joined = [
        (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])) for parts in zip(*ranks, strict=True)
    ]
    assert same(joined, whole)
    assert len(whole) == len(Batches(data, size, seed=1, train=train))
    seen = sum(len(labels) for _, labels in whole)
    assert seen == (count if not train or count < size else count - count % size)


def test_an_epoch_visits_every_image_once(small_set: Make) -> None:
    data = small_set(20)
    data.images[:] = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    batches = Batches(data, 5, seed=0, train=True)
    seen = torch.cat([images[:, 0, 0, 0] for images, _ in batches.epoch(0)])
    values = ((seen * 0.25 + 0.5) * 255).round().long().tolist()
    assert sorted(values) == list(range(20))
    assert values != list(range(20))
    labels = torch.cat([labels for _, labels in batches.epoch(0)])
    assert torch.equal(labels, data.labels[values])


def test_evaluation_is_in_order_whole_and_centre_cropped(small_set: Make) -> None:
    data = small_set(11)
    batches = Batches(data, 4, seed=0, train=False, augment=Augment(crop=6, pad=2, flip=True, cutout=4))
    result = everything(batches)
    assert [len(labels) for _, labels in result] == [4, 4, 3]
    images, labels = (torch.cat(parts) for parts in zip(*result, strict=True))
    assert torch.equal(labels, data.labels)
    torch.testing.assert_close(images, (data.images[:, :, 1:7, 1:7] / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-5)
    assert batches.shape == tuple(images.shape[1:]) == (3, 6, 6)


def test_a_set_smaller_than_a_batch_is_one_batch(small_set: Make) -> None:
    batches = Batches(small_set(3), 8, seed=0, train=True)
    assert [len(labels) for _, labels in batches.epoch(0)] == [3]
    assert len(batches) == 1


def test_shapes_types_and_raw(small_set: Make) -> None:
    data = small_set(9, channels=1, size=7)
    batches = Batches(data, 4, seed=0, train=True, augment=Augment(crop=9, pad=2))
    for images, labels in batches.epoch(0):
        assert images.shape == (4, *batches.shape) == (4, 1, 9, 9)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.is_contiguous()
    assert torch.equal(batches.raw([8, 0]), data.images[[8, 0]])
    assert batches.raw(torch.tensor([], dtype=torch.int64)).shape == (0, 1, 7, 7)


def test_the_stored_images_are_never_changed(small_set: Make) -> None:
    data = small_set()
    before = data.images.clone()
    everything(Batches(data, 20, seed=0, train=True, augment=Augment(cutout=5)))
    assert torch.equal(data.images, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": -1}, "workers -1"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"batch_size": 5, "world_size": 2}, "batch_size 5 does not divide among 2 processes"),
        ({"augment": Augment(crop=9)}, "augment.crop is 9, but images of 8x8 padded by 0"),
        ({"augment": Augment(crop=4, random_resized=True)}, "random_resized is for folders and hub sets, not for made"),
    ],
)
def test_sizes_that_do_not_fit(small_set: Make, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Batches(small_set(), **{"batch_size": 4, "seed": 0, "train": True, **options})


def test_an_empty_set_is_refused(small_set: Make) -> None:
    with pytest.raises(DataError, match="the train split of made is empty"):
        Batches(small_set(0), 4, seed=0, train=True)
