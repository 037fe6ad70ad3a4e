"""What pack takes and refuses, and that it leaves the network as it was."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from onebit import pack
from onebit.errors import UsageError
from onebit.nn import BinaryConv2d

SHAPE = (3, 9, 11)
IMAGES = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(5))


def network():
    torch.manual_seed(0)
    first, binary = nn.Conv2d(3, 20, 3), BinaryConv2d(20, 24, 3, padding=1)
    return nn.Sequential(first, nn.BatchNorm2d(20), binary, nn.BatchNorm2d(24), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def partly():
    return nn.Sequential(network()[:4], nn.Sigmoid(), nn.Conv2d(24, 4, 1)).eval()


@pytest.mark.parametrize("partial", [False, True])
def test_the_network_stays_as_it_is(partial):
    module = (partly() if partial else network()).train()
    module[0].eval()

    def facts():
        modules = {name: (m.training, set(vars(m)), len(m._forward_hooks)) for name, m in module.named_modules()}
        tensors = {
            name: (t.data_ptr(), t._version, t.requires_grad) for name, t in module.state_dict(keep_vars=True).items()
        }
        return modules, tensors, torch.get_rng_state().tolist()

    before, values = facts(), copy.deepcopy(module.state_dict())
    pack(module, SHAPE, partial=partial)
    assert facts() == before
    assert all(values[name].equal(tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    "shape", [[*map(np.int64, SHAPE)], np.zeros((1, *SHAPE)), IMAGES, torch.Size(SHAPE), (2, *SHAPE)]
)
def test_ways_to_give_a_shape(shape):
    assert pack(network(), shape).metadata["input_shape"] == list(SHAPE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"example_input": 5}, "example_input .* got 5"),
        ({"example_input": None}, "example_input"),
        ({"example_input": np.zeros(SHAPE)}, "example_input"),
        ({"example_input": (3, 9.0, 11)}, "example_input"),
        ({"mean": 0.5, "std": 0.5}, "one number for each of the 3 channels.*0.5"),
        ({"mean": ["a"] * 3, "std": [1] * 3}, "one number for each"),
        ({"mean": [0.5] * 3, "std": [1e-45] * 3}, "stay finite"),
        ({"mean": [1e39] * 3, "std": [1] * 3}, "stay finite"),
        ({"mean": [0.5] * 3, "std": [1e45] * 3, "precision": "int8"}, "stay finite"),
        ({"metadata": [1]}, "metadata are a mapping.*list"),
        ({"metadata": {"output_shape": 3}}, "3.*'output_shape'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        pack(network(), **{"example_input": SHAPE, **options})


@pytest.mark.parametrize(
    "broken", [{"running_var": 0.0, "eps": 0.0}, {"running_var": -1.0}, {"running_mean": torch.nan}]
)
def test_a_norm_that_is_not_finite_is_named_without_a_warning(broken):
    module = network()
    module[1].eps = broken.pop("eps", 1e-5)
    for name, value in broken.items():
        getattr(module[1], name)[0] = value
    with pytest.raises(UsageError, match="not finite"):
        pack(module, SHAPE)


@pytest.mark.parametrize(("module", "shape"), [(nn.AvgPool2d(1030), (1, 1030, 1030)), (nn.Flatten(), (2, 1030, 1030))])
def test_beyond_the_bounds_of_the_file(module, shape):
    with pytest.raises(UsageError, match="up to 1024 and 1048576 channels"):
        pack(nn.Sequential(module), shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_networks_of_other_types_in_part(dtype):
    module = partly().to(dtype)
    packed = pack(module, SHAPE, partial=True)
    answer = packed(IMAGES.to(dtype))
    assert answer.dtype == dtype
    assert answer.allclose(module(IMAGES.to(dtype)), atol=1e-2 if dtype == torch.bfloat16 else 1e-5)
    assert pickle.loads(pickle.dumps(packed))(IMAGES.to(dtype)).equal(answer)
