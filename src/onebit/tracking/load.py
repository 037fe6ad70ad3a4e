"""Trackers from files: run folders, checkpoints, published weights, or the name of a baseline."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from onebit.errors import CheckpointError, PackedFileError, UsageError, unknown_name
from onebit.models import create_model
from onebit.models.siamfc import SiamFC, correlate
from onebit.tracking.baselines import BASELINES, Tracker
from onebit.tracking.tracker import SiamTracker, TrackerSettings
from onebit.training.checkpoints import FORMAT, find_checkpoint, load_model, load_weights, read_tensors


def load_network(path: str | os.PathLike[str], which: str = "last") -> SiamFC:
    """The siamfc of a run folder or checkpoint, or of a plain state_dict with the published names (``backbone.conv1.0.weight``).

    Raises:
        CheckpointError: if the file cannot be read, or holds another network.
    """
    file = find_checkpoint(path, which)
    content = read_tensors(file)
    if content.get("format") == FORMAT:
        network: nn.Module = load_model(file)[0]
        if not isinstance(network, SiamFC):
            raise CheckpointError(
                f"{file} holds a {type(network).__name__}, which is no tracker; take a run of `onebit track train`"
            )
        return network
    state = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content)
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{file} is neither a onebit checkpoint nor a plain state_dict of siamfc")
    published = create_model("siamfc", "real")
    load_weights(published, state, str(file))
    assert isinstance(published, SiamFC)
    return published.eval()


class PackedNetwork:
    """A packed siamfc, a file or its bytes: the engine computes features, of exemplar and searches alike, PyTorch their
    correlation.

    Raises:
        PackedFileError: if the file is damaged, or was not packed from a tracker.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, threads: int = 1) -> None:
        from onebit.deploy import load

        self.packed = load(source, threads=threads)
        scale = self.packed.metadata.get("correlation_scale")
        if not isinstance(scale, float):
            file = "it" if isinstance(source, bytes) else source
            raise PackedFileError(f"{file} was not packed from a tracker; pack a run of `onebit track train`")
        self.scale = scale
        self.in_integers = self.packed.metadata.get("precision", "float32") != "float32"

    def backbone(self, images: torch.Tensor) -> torch.Tensor:
        """Features of crops, whole numbers from 0 to 255; a first layer in integers takes them as pixels."""
        return self.packed(images.to(torch.uint8) if self.in_integers else images)

    def response(self, exemplar: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        return correlate(exemplar, search) * self.scale


def load_tracker(
    model: str | os.PathLike[str],
    which: str = "last",
    settings: TrackerSettings | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Tracker:
    """A tracker by its baseline's name (``first-box``, ``opencv-mil``), or from a run folder, checkpoint, state_dict or packed
    file; ``threads`` is for the packed, which run on the CPU.

    Raises:
        UsageError: for a name that is neither a baseline nor a file, or a device that is not there.
        CheckpointError: as :func:`load_network`.
    """
    if str(model) in BASELINES:
        return BASELINES[str(model)]()
    path = Path(model)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise CheckpointError(f"there is no run folder or checkpoint {path}")
        raise unknown_name("tracker (neither a file nor a baseline):", str(model), BASELINES)
    if path.suffix == ".onebit":
        if device != "cpu":
            raise UsageError(f"a packed tracker runs on the CPU, not on {device!r}; leave the device out")
        return SiamTracker(PackedNetwork(path, threads), settings)
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # each kind of device fails in its own way
        raise UsageError(f"device {device!r} cannot be had here; leave it out to run on the CPU") from error
    return SiamTracker(load_network(path, which), settings, device=device)
