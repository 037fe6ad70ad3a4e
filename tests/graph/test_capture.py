"""capture: what it sees of modules, functions, views and constants, and that it leaves the module as it was."""

from collections import OrderedDict, namedtuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit.errors import UsageError
from onebit.graph import capture, without_data
from onebit.methods import list_methods
from onebit.models import create_model, list_models
from onebit.nn import BinaryConv2d, BinaryLinear


class Net(nn.Module):
    """A module whose forward is the given function of itself and its inputs."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


def seen(graph):
    """op(inputs) of every node."""
    return [f"{node.op}({','.join(map(str, node.inputs))})" for node in graph.nodes]


def reached(graph, index):
    """The node and all that its value comes from."""
    return {index}.union(*(reached(graph, i) for i in graph.nodes[index].inputs))


def captured(run, *shapes, **parts):
    return capture(Net(run, **parts), *(shapes or ((1, 4, 6, 6),)))


def test_functional_calls_are_seen_with_arguments_shapes_and_parameters():
    def run(net, x):
        y = F.conv2d(x, net.weight, stride=2, padding=1)
        return torch.cat([F.relu(y), y + F.max_pool2d(x, 2)], dim=1)

    graph = captured(run, weight=nn.Parameter(torch.ones(4, 4, 3, 3)))
    assert seen(graph) == ["input()", "conv2d(0)", "relu(1)", "max_pool2d(0)", "add(1,3)", "cat(2,4)"]
    conv = graph.nodes[1]
    assert (conv.kind, conv.shape, conv.parameters) == ("conv", (1, 4, 3, 3), ("weight",))
    assert conv.arguments == {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "bias": None}
    assert conv.operands == {"input": (1, 4, 6, 6), "weight": (4, 4, 3, 3)}
    assert [node.kind for node in graph.nodes[2:]] == ["activation", "pool", "add", "concat"]
    assert graph.nodes[5].shape == (1, 8, 3, 3)
    assert graph.nodes[5].arguments["dim"] == 1
    assert (graph.inputs, graph.outputs) == ((0,), (5,))
    assert graph.consumers(1) == (2, 4)
    assert graph.consumers(5) == ()
    assert all(index < node.index for node in graph.nodes for index in node.inputs)


def test_source_is_the_line_of_the_users_forward():
    def run(net, x):
        return net.layers(x) * 2  # the line

    graph = captured(run, layers=nn.Sequential(nn.ReLU()))
    line = run.__code__.co_firstlineno + 1
    assert [node.source for node in graph.nodes] == ["", *[f"test_capture.py:{line}"] * 2]


def test_a_binary_layer_is_one_node_however_it_is_called():
    def run(net, x):
        return net.linear.forward(net.conv(x).flatten(1))

    graph = captured(run, conv=BinaryConv2d(4, 2, 3, padding=1), linear=BinaryLinear(72, 3))
    assert seen(graph) == ["input()", "BinaryConv2d(0)", "flatten(1)", "BinaryLinear(2)"]
    conv, linear = graph.nodes[1], graph.nodes[3]
    assert (conv.kind, linear.kind) == ("binary_conv", "binary_linear")
    assert isinstance(conv.layer, BinaryConv2d)
    assert conv.parameters == ("conv.weight",)
    assert conv.arguments["padding"] == (1, 1)
    assert (conv.path, linear.path) == ("conv", "linear")
    assert (conv.shape, linear.shape) == ((1, 2, 6, 6), (1, 3))


def test_pieces_of_chunk_split_and_unbind_each_read_the_whole():
    def run(net, x):
        a, b = x.chunk(2, dim=1)
        c, d, _ = x.split([1, 1, 2], dim=1)
        first, *_ = x.unbind(1)
        return a + b, c + d, first

    graph = captured(run)
    split = [node for node in graph.nodes if node.op in ("chunk", "split_with_sizes", "unbind")]
    assert all(node.kind == "shape" and node.inputs == (0,) for node in split)
    assert [node.arguments["output"] for node in split] == [0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert [graph.nodes[i].inputs for i in graph.outputs[:2]] == [(1, 2), (3, 4)]


def test_further_outputs_of_an_operation_read_its_first():
    graph = captured(lambda net, x: x.max(dim=1))
    assert seen(graph) == ["input()", "max(0)", "max(1)"]
    assert [node.kind for node in graph.nodes] == ["input", "other", "shape"]


def test_in_place_operations_make_new_values():
    def run(net, x):
        y = x.mul(2)
        z = y
        y.add_(1).relu_()
        return z

    graph = captured(run)
    assert seen(graph) == ["input()", "mul(0)", "add(1)", "relu(2)"]
    assert graph.outputs == (3,)
    assert graph.nodes[3].kind == "activation"


def test_writing_through_a_view_is_seen_in_its_base_and_in_other_views():
    def run(net, x):
        y = x * 2
        other = y.view(-1)
        y[:, :2] += net.conv(x)
        return y, other

    graph = captured(run, conv=nn.Conv2d(4, 2, 1))
    assert seen(graph)[:5] == ["input()", "mul(0)", "view(1)", "slice(1)", "conv2d(0)"]
    writer = next(node.index for node in graph.nodes if node.op == "add")
    assert graph.nodes[writer].inputs == (3, 4)
    base, view = (graph.nodes[i] for i in graph.outputs)
    assert (base.op, view.op) == ("alias", "alias")
    # Both hold what they held and what was written.
    assert {0, 1, writer} <= reached(graph, base.index)
    assert {0, 2, writer} <= reached(graph, view.index)


def test_a_write_over_all_of_a_tensor_hides_what_was_there():
    def run(net, x):
        y = x * 2
        view = y.view(-1)
        y.copy_(net.conv(x))
        return view

    graph = captured(run, conv=nn.Conv2d(4, 4, 1))
    copy = next(node for node in graph.nodes if node.op == "copy")
    assert [graph.nodes[i].op for i in copy.inputs] == ["conv2d"]
    assert graph.nodes[graph.outputs[0]].inputs == (copy.index,)


def test_a_buffer_made_in_forward_and_filled_is_followed():
    def run(net, x):
        y = torch.zeros(1, 8, 6, 6)
        y[:, :4] = x
        y[:, 4:] = net.conv(x)
        return y * 1

    graph = captured(run, conv=nn.Conv2d(4, 4, 1))
    assert {graph.nodes[i].op for i in reached(graph, graph.outputs[0])} >= {"input", "conv2d", "copy", "constant"}


def test_constants_that_are_no_buffers_and_factories():
    constant = torch.full((4, 1, 1), 2.0)

    def run(net, x):
        here = torch.arange(6, device=x.device, dtype=x.dtype)
        assert [int(i) for i in torch.arange(3)] == [0, 1, 2]  # a constant with values may be asked for them
        return x * constant + here + torch.zeros_like(x) + x.to("cpu").type_as(x)

    graph = captured(run)
    assert [node.op for node in graph.nodes if node.kind == "constant"] == ["arange", "constant", "zeros_like"]
    assert all(node.inputs == () for node in graph.nodes if node.kind == "constant")
    assert constant.device.type == "cpu"
    assert (constant == 2).all()


def test_data_of_parameters_and_of_values_is_followed():
    graph = captured(lambda net, x: F.linear(x, net.weight.data).data + 1, weight=nn.Parameter(torch.ones(3, 6)))
    assert seen(graph) == ["input()", "detach()", "linear(0,1)", "detach(2)", "add(3)"]
    assert graph.nodes[1].parameters == ("weight",)


def test_reused_and_tied_modules_appear_once_a_call():
    layer = nn.Linear(6, 6)
    other = nn.Linear(6, 6, bias=False)
    other.weight = layer.weight
    graph = captured(lambda net, x: net.b(net.a(net.a(x))), a=layer, b=other)
    assert seen(graph) == ["input()", "linear(0)", "linear(1)", "linear(2)"]
    assert [node.path for node in graph.nodes] == ["", "a", "a", "b"]
    assert graph.nodes[3].parameters == ("a.weight",)


def test_one_module_under_two_names_keeps_its_tensors():
    layer = nn.BatchNorm2d(4)
    net = Net(lambda net, x: net.b(net.a(x)), a=layer, b=layer)
    before = [(name, id(tensor)) for name, tensor in net.state_dict(keep_vars=True).items()]
    graph = capture(net, (1, 4, 6, 6))
    assert [node.path for node in graph.nodes] == ["", "a", "a"]
    assert [(name, id(tensor)) for name, tensor in net.state_dict(keep_vars=True).items()] == before


Pair = namedtuple("Pair", "left right")


def test_outputs_in_mappings_tuples_and_several_inputs():
    def run(net, x, y):
        return OrderedDict(a=x + y, b=(y * 2, [Pair(x, None)]))

    graph = captured(run, (1, 3), (2, 1))
    assert graph.inputs == (0, 1)
    assert [graph.nodes[i].op for i in graph.outputs] == ["add", "mul", "input"]
    assert graph.nodes[2].shape == (2, 3)


def test_matrix_products_and_attention_are_seen_in_their_parts():
    def run(net, q, k):
        weights = torch.einsum("bqd,bkd->bqk", q, k).softmax(-1)
        return F.scaled_dot_product_attention(q, k, k), weights @ k, torch.tensordot(q, k, dims=([2], [2]))

    graph = captured(run, (2, 3, 4), (2, 5, 4))
    products = [node for node in graph.nodes if node.kind == "matmul"]
    assert [node.op for node in products] == ["bmm", "scaled_dot_product_attention", "matmul", "mm"]
    assert [graph.nodes[i].shape for i in graph.outputs] == [(2, 3, 4), (2, 3, 4), (2, 3, 2, 5)]


def test_random_modules_are_inert():
    graph = captured(lambda net, x: net.drop(x) + 1, drop=nn.Dropout(0.5))
    assert seen(graph) == ["input()", "add(0)"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_shapes_take_the_modules_dtype_and_examples_their_own(dtype):
    graph = capture(nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU()).to(dtype), (1, 4, 6, 6))
    assert {node.dtype for node in graph.nodes} == {dtype}
    graph = capture(nn.Embedding(5, 3), torch.tensor([[1, 2]]))
    assert [(node.dtype, node.shape) for node in graph.nodes] == [(torch.int64, (1, 2)), (torch.float32, (1, 2, 3))]
    with torch.device("meta"):
        net = nn.Conv2d(4, 2, 1)
    assert capture(net, (1, 4, 6, 6)).nodes[1].shape == (1, 2, 6, 6)


def test_the_module_is_left_as_it_was():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(4)
            self.register_buffer("calls", torch.zeros(()))
            self.last = None

        def forward(self, x):
            self.calls = self.calls + 1
            self.last = self.norm(x)
            if x.shape[2] == 1:
                raise ValueError("too small")
            return self.last

    net = Counting()
    net.norm.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    attributes = [dict(part.__dict__) for part in net.modules()]
    parameter = net.norm.weight
    for size in (6, 1):
        if size == 1:
            with pytest.raises(UsageError, match="ValueError: too small"):
                capture(net, (1, 4, 1, 1))
        else:
            capture(net, (1, 4, 6, 6))
        assert [dict(part.__dict__) for part in net.modules()] == attributes
        assert (net.training, net.norm.training) == (True, False)
        assert net.norm.weight is parameter
        assert parameter.requires_grad
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net(torch.ones(2, 4, 2, 2)).requires_grad


@pytest.mark.parametrize("method", ["real", "rbcn"])
@pytest.mark.parametrize("name", list_models())
def test_every_model_is_captured(name, method):
    with without_data():
        net = create_model(name, method)
    graph = capture(net, (2, 3, 32, 32))
    assert graph.nodes[graph.outputs[0]].shape == (2, 10)
    assert not any(node.kind in ("other", "constant") for node in graph.nodes)
    binary = [node for node in graph.nodes if node.kind.startswith("binary")]
    assert bool(binary) == (method != "real")
    read = {name for node in graph.nodes for name in node.parameters}
    assert read == {name for name in net.state_dict() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("method", list_methods())
def test_every_method_is_captured(method):
    graph = capture(create_model("lenet", method, in_channels=1, image_size=28), (1, 1, 28, 28))
    assert sum(node.kind.startswith("binary") for node in graph.nodes) == (0 if method == "real" else 2)
