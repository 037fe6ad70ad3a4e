"""What capture refuses: one sentence with the user's line and what to do."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from onebit.errors import UsageError
from onebit.graph import capture
from onebit.graph.source import code_line


class Net(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run
        self.inner = nn.Sequential(nn.Linear(4, 4))

    def forward(self, x):
        return self.run(self.inner(x))


def scripted(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch advise against it
        return torch.jit.script(module)


def branch(x):
    return x if x.sum() > 0 else -x


def item(x):
    return x * x.max().item()


def as_list(x):
    return x * x.flatten().tolist()[0]


def as_array(x):
    return x + torch.from_numpy(np.asarray(x))


def close(x):
    assert not torch.allclose(x, x + 1)


@pytest.mark.parametrize("run", [branch, item, as_list, as_array, close])
def test_a_forward_that_needs_values_is_told_its_line(run):
    with pytest.raises(UsageError) as error:
        capture(Net(run), (2, 4))
    line = run.__code__.co_firstlineno + 1
    assert f"test_capture_errors.py:{line} `" in str(error.value)
    assert "depends on data" in str(error.value)
    assert "torch.where" in str(error.value)


def selected(x):
    return x[x > 0]


def unique(x):
    return x.unique()


@pytest.mark.parametrize(("run", "name"), [(selected, "torch.nonzero"), (unique, "aten::_unique2")])
def test_a_shape_that_depends_on_data_is_told_its_line_and_the_remedy(run, name):
    with pytest.raises(UsageError) as error:
        capture(Net(run), (2, 4))
    line = run.__code__.co_firstlineno + 1
    assert f"test_capture_errors.py:{line} `return x" in str(error.value)
    assert f"cannot tell the shape of the result of {name} without data" in str(error.value)
    assert "torch.where" in str(error.value)


def test_whole_numbers_as_a_shape_are_told_to_be_given_as_an_example():
    with pytest.raises(UsageError, match="is given as an example tensor instead of a shape"):
        capture(nn.Embedding(10, 4), (1, 6))


def test_long_lines_are_cut(tmp_path):
    (tmp_path / "long.py").write_text("x = " + "1 + " * 100 + "1\n")
    assert len(code_line(str(tmp_path / "long.py"), 1)) < 120


def test_wrapped_and_scripted_modules():
    compiled = nn.Sequential(torch.compile(nn.Linear(4, 4), backend="eager"), nn.ReLU())
    assert [node.op for node in capture(nn.DataParallel(compiled), (1, 4)).nodes] == ["input", "linear", "relu"]
    with pytest.raises(UsageError, match="a scripted Linear cannot be captured; give the module it was scripted from"):
        capture(scripted(nn.Linear(4, 4)), (1, 4))


def test_shapes_that_do_not_fit_are_the_modules_own_error_with_place_and_shapes():
    with pytest.raises(UsageError) as error:
        capture(Net(branch), (2, 5))
    text = str(error.value)
    assert "cannot capture Net on inputs of shape (2, 5)" in text
    assert "`return self.run(self.inner(x))`" in text
    assert "module 'inner.0'" in text
    assert "[2, 5]" in text


def test_an_error_without_a_line_of_the_users_names_the_module():
    with pytest.raises(UsageError, match=r"in module '1': RuntimeError"):
        capture(nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), (1, 4))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), r"does not take 0 inputs \(missing a required argument: 'x'\); give one shape"),
        (((2, 4), (2, 4)), "does not take 2 inputs"),
        (((2, 0),), r"shape of positive whole numbers such as \(1, 3, 224, 224\), got \(2, 0\)"),
        (("x",), "got 'x'"),
    ],
)
def test_impossible_inputs(inputs, message):
    with pytest.raises(UsageError, match=message):
        capture(Net(branch), *inputs)


def test_other_impossible_requests():
    with pytest.raises(UsageError, match=r"is a torch.nn.Module, got <function branch"):
        capture(branch, (1, 4))
    with pytest.raises(UsageError, match="returns no tensor, but None"):
        capture(Net(lambda x: None), (1, 4))
    lazy = nn.Sequential(nn.LazyLinear(4))
    with pytest.raises(UsageError, match=r"'0.weight' has no shape yet; run Sequential once"):
        capture(lazy, (1, 4))
