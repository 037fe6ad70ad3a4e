"""Packed networks at work: what they take, what they refuse, threads, kernels, and what they tell about themselves."""

import gc
import os
import pickle
import resource
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import onebit
from onebit import PackedModel, create_model, load, pack
from onebit.data.augment import Normalise
from onebit.deploy import engine, packed_model
from onebit.errors import PackedFileError, UsageError
from settled import settle

needs_engine = pytest.mark.skipif(engine.library() is None, reason="the engine was not built")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
SHAPE = (3, 16, 16)
IMAGES = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(3))
KERNELS = [*engine.kernels(), "python"]


def network(method="rbcn", **options):
    torch.manual_seed(0)
    return settle(
        create_model("resnet18", method, num_classes=4, widths=(9, 12, 20, 33), image_size=16, **options), SHAPE
    )


@pytest.fixture(scope="module")
def packed():
    facts = {"model": "resnet18", "run": {"seed": 3}}
    return pack(network(), IMAGES, classes=["a", "b", "ä", "d"], mean=MEAN, std=STD, metadata=facts)


@pytest.fixture(scope="module")
def path(packed, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "network.onebit"
    packed.save(path)
    return path


def test_what_it_says_about_itself(packed, path):
    for model in (packed, load(path)):
        assert model.metadata["classes"] == ["a", "b", "ä", "d"]
        assert model.metadata["mean"] == list(MEAN)
        assert model.metadata["input_shape"] == [3, 16, 16]
        assert model.metadata["output_shape"] == [4]
        assert model.metadata["precision"] == "float32"
        assert model.metadata["run"] == {"seed": 3}
        assert model.metadata["creator"] == f"onebit {onebit.__version__}"
        assert len(model.metadata["paths"]) == len(model.program.operations)
        assert model.num_bytes == os.path.getsize(path)
        assert f"{model.num_bytes} bytes" in repr(model)
    assert "resnet18" in repr(packed)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_kernel_and_number_of_threads_gives_the_same_bits(packed, path, kernel, threads):
    model = load(path, kernel=kernel, threads=threads)
    assert (model.kernel, model.threads) == (kernel, threads)
    assert model(IMAGES).equal(packed.using(kernel="python")(IMAGES))
    pixels = torch.arange(5 * 768).remainder(251).byte().view(5, *SHAPE)
    assert model(pixels).equal(packed.using(kernel="python")(pixels))


def test_pixels_are_normalised_as_training_does_it(packed):
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, *SHAPE)
    assert packed(pixels).equal(packed(Normalise(MEAN, STD, torch.device("cpu"))(pixels)))


@pytest.mark.parametrize("kernel", dict.fromkeys([*KERNELS[:1], "python"]))
def test_layouts_are_read_as_they_lie(packed, kernel):
    model = packed.using(kernel=kernel)
    expected = model(IMAGES)
    last = IMAGES.to(memory_format=torch.channels_last)
    wide = torch.zeros(5, 5, 20, 40)
    wide[:, 1:4, 2:18, 4:36:2] = IMAGES
    layouts = {
        "channels last": last,
        "slice": wide[:, 1:4, 2:18, 4:36:2],
        "gradients": IMAGES.clone().requires_grad_(),
    }
    for name, images in layouts.items():
        answer = model(images)
        assert isinstance(answer, torch.Tensor)
        assert answer.equal(expected), name
    arrays = {
        "array": IMAGES.numpy(),
        "backwards": IMAGES.numpy()[:, ::-1, ::-1, ::-1].copy()[:, ::-1, ::-1, ::-1],
        "read-only": np.frombuffer(IMAGES.numpy().tobytes(), np.float32).reshape(IMAGES.shape),
        "columns first": np.asfortranarray(IMAGES.numpy()),
        "unaligned": np.frombuffer(b"\0" + IMAGES.numpy().tobytes(), np.uint8)[1:]
        .view(np.float32)
        .reshape(IMAGES.shape),
        "within records": np.rec.fromarrays([np.zeros(IMAGES.shape, np.int8), IMAGES.numpy()]).f1,
    }
    for name, images in arrays.items():
        answer = model(images)
        assert isinstance(answer, np.ndarray)
        assert np.array_equal(answer, expected.numpy()), name
    assert model(IMAGES[:0]).shape == (0, 4)
    assert model(IMAGES[:, :, :9, :13]).shape == (5, 4)


def with_nan():
    images = IMAGES.clone()
    images[2, 1, 3, 4] = torch.nan
    return images


@pytest.mark.parametrize("kernel", dict.fromkeys([*KERNELS[:1], "python"]))
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.double(), "float32 .* or uint8 .*, got float64"),
        (IMAGES.numpy().astype(">f4"), "got >f4"),
        (IMAGES.bfloat16(), "got bfloat16"),
        (IMAGES[0], r"\(N, channels, height, width\), got \(3, 16, 16\)"),
        (IMAGES[:, :2], "2"),
        (IMAGES[:, :, :0], "0, 16"),
        (IMAGES.to("meta"), "runs on the CPU; got a tensor on meta"),
        ([[1.0]], "images are a tensor or a numpy array, got list"),
        (with_nan(), "NaN"),
    ],
)
def test_images_that_do_not_fit(packed, kernel, images, message):
    with pytest.raises(UsageError, match=message):
        packed.using(kernel=kernel)(images)


@pytest.mark.parametrize("kernel", dict.fromkeys([*KERNELS[:1], "python"]))
def test_sizes_that_do_not_fit(kernel):
    lenet = create_model("lenet", "bnn", image_size=16, widths=(4, 8, 16)).eval()
    model = pack(lenet, (3, 16, 16)).using(kernel=kernel)
    with pytest.raises(UsageError, match="20"):
        model(torch.zeros(1, 3, 20, 20))
    with pytest.raises(UsageError):
        model(torch.zeros(1, 3, 1, 1))
    with pytest.raises(UsageError, match=r"mean and std|normalis"):
        model(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_threads_and_kernels_that_cannot_be(path):
    for threads in (0, -1, 1025, 2**32 + 1, 1.5, True):
        with pytest.raises(UsageError, match="threads is a whole number from 1 to 1024"):
            load(path, threads=threads)
    for kernel in ("sse9", 3):
        with pytest.raises(UsageError, match=str(kernel)):
            load(path, kernel=kernel)


@needs_engine
def test_the_environment_names_a_kernel(path, monkeypatch):
    for kernel in KERNELS:
        monkeypatch.setenv("ONEBIT_KERNEL", kernel)
        assert load(path).kernel == kernel
    monkeypatch.setenv("ONEBIT_KERNEL", "sse9")
    with pytest.raises(UsageError, match="sse9"):
        load(path)
    assert load(path, kernel="python").kernel == "python"


def test_without_the_engine(path, packed, monkeypatch):
    """The same answers, and one warning for the whole process."""
    monkeypatch.setattr(engine, "library", lambda: None)
    packed_model._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="the onebit engine was not built") as caught:
        models = [load(path), load(path)]
    assert len(caught) == 1
    assert models[0].kernel == "python"
    assert models[0](IMAGES).equal(packed.using(kernel="python")(IMAGES))
    assert models[0].profile(IMAGES) == []
    assert engine.kernels() == []
    with pytest.raises(UsageError, match="the engine was not built; build it"):
        load(path, kernel="avx2")


def test_many_threads_and_models_at_once(packed):
    other = pack(network("xnor", method_options={"input_scale": True}), IMAGES)
    models = [packed, other, packed.using(threads=2), other.using(threads=2)]
    expected = [model(IMAGES) for model in models]
    start = threading.Barrier(6)

    def work(number):
        start.wait()
        return all(models[i % 4](IMAGES).equal(expected[i % 4]) for i in range(number, number + 24))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


@needs_engine
def test_calls_and_models_leave_nothing_behind(path):
    def memory():
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def use(times):
        for _ in range(times):
            load(path, threads=2)(IMAGES)
            with pytest.raises(UsageError):
                load(path)(IMAGES[:, :2])

    use(20)
    before = memory()
    use(200)
    assert memory() - before < 4 * 1024  # kilobytes; the files of 200 models alone are more


def test_profile(packed):
    steps = packed.profile(IMAGES, repeats=2)
    assert steps or engine.library() is None
    binary = [step for step in steps if step.weight_bits == 1]
    assert len(binary) == 16 * bool(steps)
    assert all(step.runs == 10 and step.seconds > 0 and "conv" in step.name for step in binary)
    assert all(step.macs == 9 * 9 * 9 * 256 for step in binary[:4])


def test_binary_weights_by_path(packed):
    weight = packed.binary_weight("stages.1.0.conv")
    assert weight.shape == (12, 9, 3, 3)
    assert weight.equal(network().stages[1][0].conv.binary_weight())
    with pytest.raises(UsageError, match=r"did you mean 'stages\.1\.0\.conv'"):
        packed.binary_weight("stage.1.0.conv")


def test_maps_keep_their_shape():
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1))
    for module in (layers[:1], layers):
        with torch.no_grad():
            assert pack(module.eval(), SHAPE)(IMAGES).shape == module(IMAGES).shape


def test_pickled(packed):
    again = pickle.loads(pickle.dumps(packed))
    assert isinstance(again, PackedModel)
    assert again(IMAGES).equal(packed(IMAGES))


FORKED = """
import os, sys, torch, onebit
torch.set_num_threads(1)
model = onebit.load(sys.argv[1], threads=3)
images = torch.ones(2, 3, 16, 16)
expected = model(images)
child = os.fork()
if not child:
    os._exit(0 if model(images).equal(expected) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_processes_have_threads_of_their_own(path):
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED, path], check=True, timeout=120)


# A module that is older than the engine's loses what it holds after that one's names are gone.
KEPT = """
import sys, torch, onebit, onebit.tracking.evaluate as keeper
keeper._tracker = onebit.load(sys.argv[1])
keeper._tracker(torch.ones(1, 3, 16, 16))
"""


def test_a_model_that_lives_until_the_end_is_freed_in_silence(path):
    words = [sys.executable, "-W", "ignore", "-c", KEPT, path]
    assert subprocess.run(words, check=True, timeout=120, capture_output=True).stderr == b""


def test_importing_the_package_stays_quick():
    subprocess.run([sys.executable, "-c", "import sys, onebit; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize("kernel", dict.fromkeys([*KERNELS[:1], "python"]))
@pytest.mark.parametrize(
    "metadata",
    [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, '{"a":1}'.encode("utf-16")]
    + [
        f'{{"{key}":{value}}}'.encode()
        for key, value in (("output_shape", 5), ("classes", '"abc"'), ("paths", "[1]"), ("run", 2))
    ],
    ids=lambda text: repr(text[:20]),
)
def test_damaged_metadata(packed, kernel, metadata):
    data = bytearray(packed._bytes() + metadata)
    struct.pack_into("<QQQ", data, 16, len(data), len(data) - len(metadata), len(metadata))
    struct.pack_into("<I", data, 12, zlib.crc32(data[16:]))
    with pytest.raises(PackedFileError, match="metadata"):
        load(bytes(data), kernel=kernel)


def test_any_bytes_and_any_file_name(packed, path, tmp_path):
    data = path.read_bytes()
    strange = os.path.join(os.fsencode(tmp_path), b"a \xff.onebit")
    with open(strange, "wb") as stream:
        stream.write(data)
    for source in (bytearray(data), memoryview(data), os.fsdecode(strange)):
        assert load(source)(IMAGES).equal(packed(IMAGES))
    with pytest.raises(PackedFileError, match="is a folder"):
        load(tmp_path)


def test_unusual_tensors(packed):
    assert packed(torch._neg_view(-IMAGES)).equal(packed(IMAGES))
    with pytest.raises(UsageError, match="to_dense"):
        packed(IMAGES.to_sparse())


@needs_engine
def test_a_file_written_into_while_it_is_open(packed, tmp_path):
    path = tmp_path / "network.onebit"
    packed.save(path)
    model = load(path)
    pixels = torch.arange(5 * 768).remainder(251).byte().view(5, *SHAPE)
    with open(path, "r+b") as stream:
        stream.write(bytes(model.num_bytes))
    assert model(pixels).equal(packed(pixels))
    assert model(IMAGES).equal(packed(IMAGES))
