import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from onebit.data import Augment, Batches, FolderDataset, load_dataset
from onebit.data.folder import choose
from onebit.errors import DataError, OnebitError, UsageError

# More workers than cores, and (from Python 3.12 on) forking beside torch's threads, as torch's loader does.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def load(folder: Path, split: str = "train", **options: int) -> FolderDataset:
    data = load_dataset("folder", split, data_dir=folder, **{"image_size": 24, **options})
    assert isinstance(data, FolderDataset)
    return data


def test_paths_labels_and_classes_are_sorted(image_folder: Path) -> None:
    (image_folder / "train" / "cat" / "notes.txt").write_text("no image")
    (image_folder / "train" / ".cache").mkdir()
    train, test = load(image_folder), load(image_folder, "test")
    assert train.classes == test.classes == ["cat", "dog"]
    assert train.labels.tolist() == [0] * 6 + [1] * 6
    assert train.paths[:3] == ["cat/0.jpg", "cat/1.png", "cat/2.JPEG"]
    assert test.labels.tolist() == [0] * 3 + [1] * 3
    assert train.shape == (3, 24, 24)
    assert load_dataset("folder", "train", data_dir=image_folder).shape == (3, 256, 256)


@pytest.mark.parametrize("random_resized", [False, True])
def test_the_same_batches_for_any_number_of_workers(image_folder: Path, random_resized: bool) -> None:
    augment = Augment(crop=16, flip=True, cutout=4, random_resized=random_resized)
    runs = []
    state = torch.get_rng_state()
    for workers in (0, 1, 2):
        batches = Batches(load(image_folder), 5, seed=7, train=True, augment=augment, workers=workers)
        runs.append(list(batches.epoch(3)))
    assert torch.equal(torch.get_rng_state(), state)
    for run in runs[1:]:
        for (images, labels), (others, other_labels) in zip(runs[0], run, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(labels, other_labels)
    assert runs[0][0][0].shape == (5, *batches.shape) == (5, 3, 16, 16)
    later = list(Batches(load(image_folder), 5, seed=7, train=True, augment=augment).epoch(4))
    assert not torch.equal(later[0][0], runs[0][0][0])


def test_ranks_decode_their_share(image_folder: Path) -> None:
    augment = Augment(crop=16, flip=True, random_resized=True)
    options = {"seed": 1, "train": True, "augment": augment}
    whole = list(Batches(load(image_folder), 4, **options).epoch(0))
    parts = [list(Batches(load(image_folder), 4, rank=rank, world_size=2, **options).epoch(0)) for rank in (0, 1)]
    for (images, _), (left, _), (right, _) in zip(whole, *parts, strict=True):
        assert torch.equal(images, torch.cat([left, right]))


def test_evaluation_keeps_order_and_every_image(image_folder: Path) -> None:
    test = load(image_folder, "test")
    batches = Batches(test, 4, seed=0, train=False, augment=Augment(crop=20, random_resized=True), workers=1)
    results = list(batches.epoch(0))
    assert torch.equal(torch.cat([labels for _, labels in results]), test.labels)
    raw = batches.raw(range(6))
    assert raw.dtype == torch.uint8
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (test.mean, test.std))
    expected = (raw[:, :, 2:22, 2:22] / 255 - mean) / std
    torch.testing.assert_close(torch.cat([images for images, _ in results]), expected, rtol=1e-5, atol=1e-5)
    # Some ranks may get nothing of the last batch, but every rank takes part in it.
    shapes = [list(Batches(test, 5, seed=0, train=False, rank=r, world_size=3).epoch(0))[-1][0].shape for r in range(3)]
    assert [tuple(shape) for shape in shapes] == [(0, 3, 24, 24), (0, 3, 24, 24), (1, 3, 24, 24)]


def test_holdout_and_limit_are_fixed_choices_from_all_classes(image_folder: Path) -> None:
    train, held = load(image_folder, holdout=4), load(image_folder, "holdout", holdout=4)
    assert sorted(train.paths + held.paths) == load(image_folder).paths
    assert not set(train.paths) & set(held.paths)
    assert held.paths == load(image_folder, "holdout", holdout=4).paths
    # The choice goes by the names alone: a longer hold-out contains the shorter one.
    assert set(held.paths) <= set(load(image_folder, "holdout", holdout=6).paths)
    keys = [f"{'abcd'[number // 250]}/{number}.jpg" for number in range(1000)]
    few = choose(keys, "train", 0, 100)
    assert few == sorted(few)
    assert {keys[index][0] for index in few} == set("abcd")
    assert len(load(image_folder, limit=3)) == 3
    with pytest.raises(UsageError, match=r"holdout is 12, but .*train has only 12 train images"):
        load(image_folder, holdout=12)


def test_an_unreadable_image_is_named_from_any_process(image_folder: Path) -> None:
    path = image_folder / "train" / "dog" / "3.jpg"
    path.write_bytes(path.read_bytes()[:300])
    for workers in (0, 1):
        batches = Batches(load(image_folder), 12, seed=0, train=True, workers=workers)
        with pytest.raises(
            DataError, match=r"dog/3\.jpg is not a readable image \(.*\); replace it or remove it"
        ) as info:
            list(batches.epoch(0))
        assert "Traceback" not in str(info.value)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"dog/3\.jpg is not a readable image"):
        list(batches.epoch(0))


class Dying(FolderDataset):
    def open(self, index: int) -> Image.Image:
        os._exit(3)


def test_a_worker_that_dies_is_one_sentence(image_folder: Path) -> None:
    data = load(image_folder)
    dying = Dying("folder", "train", data.root, data.paths, data.labels, data.classes, 24)
    with pytest.raises(OnebitError, match=r"a process that decodes the images of .*train died \(.*use fewer workers"):
        list(Batches(dying, 4, seed=0, train=True, workers=1).epoch(0))


def test_layouts_that_are_not_it_say_what_is_expected(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; expected train/<class>/<image files>"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no class folders in train/: it holds cat/, dog/; expected train/<class>"):
        load(image_folder / "train")
    with pytest.raises(
        DataError, match=r"no class folders in val/ \(or test/, valid/, validation/\): it holds cat/, dog/"
    ):
        load(image_folder / "train", "test")
    (image_folder / "val" / "bird").mkdir()
    with pytest.raises(DataError, match=r"val/bird is a class that train/ does not have"):
        load(image_folder, "test")
    (image_folder / "train" / "bird").mkdir()
    with pytest.raises(DataError, match=r"train/bird holds no images"):
        load(image_folder)


def test_a_test_folder_without_labels_gives_way_to_val(image_folder: Path) -> None:
    (image_folder / "test" / "images").mkdir(parents=True)
    shutil.copy(image_folder / "val" / "cat" / "0.jpg", image_folder / "test" / "images")
    assert load(image_folder, "test").root == image_folder / "val"
    shutil.rmtree(image_folder / "test" / "images")
    shutil.copytree(image_folder / "val" / "dog", image_folder / "test" / "dog")
    assert load(image_folder, "test").root == image_folder / "test"


def test_tiny_imagenet(image_folder: Path) -> None:
    shutil.rmtree(image_folder / "val")
    images = image_folder / "val" / "images"
    images.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(images / f"val_{number}.png")
    table = image_folder / "val" / "val_annotations.txt"
    table.write_text("val_2.png\tdog\t0\t0\t9\t9\nval_0.png\tdog\t0\t0\t9\t9\nval_1.png\tcat\t0\t0\t9\t9\n")
    test = load(image_folder, "test")
    assert test.labels.tolist() == [1, 0, 1]
    assert Batches(test, 3, seed=0, train=False).raw([2])[0, 0, 0, 0] == 2
    table.write_text("val_0.png\thorse\n")
    with pytest.raises(DataError, match=r"val_annotations\.txt has the line \['val_0.png', 'horse'\]"):
        load(image_folder, "test")
