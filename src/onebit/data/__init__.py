"""Data sets, and augmentation in batches on the device.

    train = load_dataset("cifar10", "train", data_dir="data", holdout=5000)
    batches = Batches(train, 128, seed=0, train=True, augment=Augment(pad=4, flip=True))
    for images, labels in batches.epoch(0):
        ...

Small sets are one uint8 tensor; folders and hub sets are decoded by worker processes. The same seed gives the same
batches on every device and with any number of workers.
"""

from onebit.data.augment import Augment
from onebit.data.batches import Batches
from onebit.data.dataset import DATASETS, Dataset, DatasetInfo, list_datasets, load_dataset
from onebit.data.fetch import download
from onebit.data.folder import FolderDataset

__all__ = [
    "DATASETS",
    "Augment",
    "Batches",
    "Dataset",
    "DatasetInfo",
    "FolderDataset",
    "download",
    "list_datasets",
    "load_dataset",
]
