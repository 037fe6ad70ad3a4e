"""Pure tensor functions: sign with its estimators, bit packing, and the binary convolution."""

from onebit.functional.binary_conv import reference_binary_conv2d, sign_conv2d, sign_linear
from onebit.functional.estimators import ESTIMATORS, Estimator, get_estimator
from onebit.functional.packing import pack_bits, unpack_bits
from onebit.functional.scaling import scale_signs
from onebit.functional.sign import hard_sign, sign

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "get_estimator",
    "hard_sign",
    "pack_bits",
    "reference_binary_conv2d",
    "scale_signs",
    "sign",
    "sign_conv2d",
    "sign_linear",
    "unpack_bits",
]
