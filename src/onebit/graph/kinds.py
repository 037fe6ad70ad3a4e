"""What kind of operation each of torch's is, by its name without the underscore of the in-place form."""

from __future__ import annotations

_KINDS = {
    "conv": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution _convolution",
    "linear": "linear",
    "matmul": "matmul mm bmm addmm baddbmm addbmm mv addmv dot vdot bilinear "
    "scaled_dot_product_attention _scaled_dot_product_attention_math",
    "norm": "batch_norm native_batch_norm _native_batch_norm_legit_no_training layer_norm native_layer_norm group_norm "
    "native_group_norm instance_norm rms_norm _fused_rms_norm",
    "add": "add sub rsub subtract sum",
    "multiply": "mul div multiply divide true_divide neg negative addcmul addcdiv",
    "concat": "cat concat concatenate stack hstack vstack dstack",
    "pool": "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d "
    "avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d mean amax amin",
    "activation": "relu relu6 hardtanh leaky_relu rrelu prelu _prelu_kernel sigmoid tanh gelu silu elu selu celu mish softplus "
    "softsign hardswish hardsigmoid hardshrink softshrink threshold softmax _softmax log_softmax _log_softmax clamp "
    "clamp_min clamp_max sign sgn logsigmoid log_sigmoid glu exp sqrt rsqrt pow square abs maximum minimum",
    "shape": "view _unsafe_view view_as reshape reshape_as flatten unflatten ravel transpose permute t adjoint numpy_T mT "
    "movedim moveaxis swapaxes swapdims expand expand_as broadcast_to repeat tile repeat_interleave slice select narrow "
    "index index_select gather take_along_dim squeeze unsqueeze pad constant_pad_nd reflection_pad1d reflection_pad2d "
    "reflection_pad3d replication_pad1d replication_pad2d replication_pad3d detach alias contiguous clone to _to_copy "
    "type_as chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split hsplit vsplit dsplit unbind pixel_shuffle "
    "pixel_unshuffle channel_shuffle native_channel_shuffle flip roll unfold im2col col2im as_strided lift_fresh copy "
    "diagonal tril triu dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout upsample_nearest1d "
    "upsample_nearest2d upsample_nearest3d",
    "constant": "zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full "
    "new_empty new_empty_strided new_tensor fill zero normal uniform bernoulli",
}

KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}

_VIEWS = (
    "view view_as reshape reshape_as _unsafe_view flatten unflatten ravel transpose permute t numpy_T mT adjoint movedim moveaxis "
    "swapaxes swapdims expand expand_as broadcast_to slice select narrow squeeze unsqueeze detach alias contiguous chunk split "
    "split_with_sizes tensor_split unsafe_chunk unsafe_split hsplit vsplit dsplit unbind as_strided diagonal unfold to"
)
#: operations whose result is another view of the memory of their input (``reshape`` and ``contiguous``: nearly always)
VIEWS = frozenset(_VIEWS.split())

#: composite operations whose work shows only in their parts
DECOMPOSED = frozenset(("einsum", "tensordot", "inner", "linalg_multi_dot", "linalg_matmul", "chain_matmul"))

#: operations that take a value out of a tensor, which a tensor without memory has not
READS_DATA = frozenset(("item", "_local_scalar_dense", "is_nonzero", "equal", "allclose"))


def plain_name(name: str) -> str:
    """An operation's name without the namespace and the in-place underscore.

    >>> plain_name("aten::relu_"), plain_name("aten::_softmax")
    ('relu', '_softmax')
    """
    name = name.rpartition("::")[2]
    return name.removesuffix("_") if not name.endswith("__") else name
