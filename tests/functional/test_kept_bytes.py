"""What the backward pass keeps: counted in bytes of storage, as autograd sees them."""

import pytest
import torch

from onebit.functional import ESTIMATORS, scale_signs, sign, sign_conv2d, sign_linear

BITS = {"identity": 1, "clip": 2, "box": 2, "bireal": 8}


def kept(run):
    """Storages (address -> (bytes, dtype)) that autograd holds on to while ``run`` computes."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor.dtype, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    assert output.requires_grad
    return storages


def count(storages, but=()):
    others = [tensor.untyped_storage().data_ptr() for tensor in but]
    return sum(entry[0] for address, entry in storages.items() if address not in others)


def test_the_table_of_bits_is_complete():
    assert {name: ESTIMATORS[name].bits for name in ESTIMATORS} == BITS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", sorted(BITS))
def test_convolution_keeps_the_estimators_bits_and_no_floats_of_the_inputs_size(name, layout, dtype):
    x = torch.randn(4, 8, 16, 16).to(dtype).to(memory_format=layout).requires_grad_()
    w = torch.randn(3, 8, 1, 1).to(dtype).requires_grad_()
    storages = kept(lambda: sign_conv2d(x, w, name))
    assert count(storages, but=[w]) == x.numel() * BITS[name] // 8
    assert not any(
        entry[1].is_floating_point for entry in storages.values() if entry[2] is not w and entry[2].numel() > 24
    )


@pytest.mark.parametrize("name", sorted(BITS))
def test_linear_and_sign_keep_the_same_bits(name):
    x = torch.randn(64, 32, requires_grad=True)
    w = torch.randn(2, 32, requires_grad=True)
    assert count(kept(lambda: sign_linear(x, w, name)), but=[w]) == x.numel() * BITS[name] // 8
    assert count(kept(lambda: sign(x, name))) == x.numel() * BITS[name] // 8


@pytest.mark.parametrize("name", sorted(BITS))
def test_exact_keeps_the_tensor_itself_and_no_copy(name):
    x = torch.randn(64, requires_grad=True)
    (address,) = kept(lambda: sign(x, name, exact=True))
    assert address == x.untyped_storage().data_ptr()


def test_autocast_keeps_bits_and_a_bfloat16_kernel():
    x, w = torch.randn(4, 8, 16, 16, requires_grad=True), torch.randn(3, 8, 1, 1, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        storages = kept(lambda: sign_conv2d(x, w, "clip"))
    assert count(storages) == x.numel() * 2 // 8 + w.numel() * 2


def test_scale_signs_keeps_one_bit_a_sign_only_where_the_scale_learns():
    signs = torch.ones(16, 8).requires_grad_()
    learns, held = torch.ones(8, requires_grad=True), torch.ones(8)
    assert count(kept(lambda: scale_signs(signs, learns, value=learns.detach().mean()))) == 16
    assert count(kept(lambda: scale_signs(signs, held))) == 0
    assert count(kept(lambda: scale_signs(signs, learns, through=held)), but=[held]) == 16


def test_nothing_is_kept_without_gradients():
    x, w = torch.randn(1, 2, 4, 4, requires_grad=True), torch.randn(2, 2, 1, 1, requires_grad=True)
    storages = []
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: storages.append(t), lambda t: t):
        sign_conv2d(x, w, "bireal")
        sign(x, "bireal")
    assert not storages
