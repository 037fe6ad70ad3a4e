"""Packed trackers: the backbone as bits, the same features and the same boxes."""

import numpy as np
import pytest
import torch

from onebit import create_model, pack
from onebit.errors import PackedFileError, UsageError
from onebit.tracking.load import load_tracker
from onebit.tracking.named import named_tracker
from onebit.tracking.tracker import SiamTracker

pytest.importorskip("cv2")


@pytest.fixture(scope="module", params=["xnor", "rbcn"])
def network(request):
    """A network whose norms have seen images."""
    torch.manual_seed(0)
    made = create_model("siamfc", request.param, widths=(6, 8, 12, 12, 8), learn_gain=True)
    with torch.no_grad():
        made.gain.fill_(2.5)
        for _ in range(3):
            made((255 * torch.rand(4, 3, 127, 127), 255 * torch.rand(4, 3, 239, 239)))
    return made.eval()


@pytest.mark.filterwarnings("ignore:the engine was not built")
def test_features_of_both_sizes_and_boxes(network, tmp_path):
    packed = pack(network, (3, 239, 239), metadata=network.packed_metadata())
    packed.save(tmp_path / "tracker.onebit")
    with pytest.raises(UsageError, match="runs on the CPU, not on 'cuda'"):
        load_tracker(tmp_path / "tracker.onebit", device="cuda")
    assert named_tracker(str(tmp_path / "tracker.onebit"), threads=2).make().network.packed.threads == 2
    tracker, plain = load_tracker(tmp_path / "tracker.onebit"), SiamTracker(network)
    for count, side in ((1, 127), (3, 255)):
        images = 255 * torch.rand(count, 3, side, side)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            torch.testing.assert_close(tracker.network.backbone(images), network.backbone(images), rtol=1e-4, atol=1e-4)
    frames = [np.random.default_rng(i).integers(0, 256, (90, 120, 3), np.uint8) for i in range(4)]
    for one in (tracker, plain):
        one.init(frames[0], (40, 30, 24, 20))
    for frame in frames[1:]:
        (box, score), (expected, likely) = tracker.update(frame), plain.update(frame)
        # One place of the enlarged response is side / 510 pixels.
        assert np.abs(box - expected).max() <= float(plain.side) / 510 + 1e-3
        assert score == pytest.approx(likely, abs=1e-3)


@pytest.mark.filterwarnings("ignore:the engine was not built")
def test_a_first_layer_in_integers_takes_crops_as_pixels(network, tmp_path):
    """Mean 0 and std 1 / 255 leave pixels as they are, which is what the float network sees."""
    scaled = {"mean": [0.0] * 3, "std": [1 / 255] * 3}
    pack(network, (3, 239, 239), precision="int16", metadata=network.packed_metadata(), **scaled).save(
        tmp_path / "tracker.onebit"
    )
    tracker = load_tracker(tmp_path / "tracker.onebit")
    crops = torch.randint(0, 256, (1, 3, 127, 127)).float()
    with torch.no_grad():
        found, expected = tracker.network.backbone(crops), network.backbone(crops)
    # Rounded weights turn a few signs.
    assert (found - expected).abs().mean() < 0.05 * expected.std()
    frames = [np.random.default_rng(i).integers(0, 256, (90, 120, 3), np.uint8) for i in range(2)]
    tracker.init(frames[0], (40, 30, 24, 20))
    box, score = tracker.update(frames[1])
    assert np.isfinite(box).all()
    assert 0 <= score <= 1


def test_a_packed_classifier_is_no_tracker(tmp_path):
    pack(create_model("lenet", "bnn", widths=(4, 4, 8)), (3, 32, 32)).save(tmp_path / "lenet.onebit")
    with pytest.raises(PackedFileError, match="not packed from a tracker"):
        load_tracker(tmp_path / "lenet.onebit")
