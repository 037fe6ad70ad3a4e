"""The layers that everything else builds on."""

from onebit.nn.binary_layer import BinaryLayer, BinaryTerm
from onebit.nn.layers import BinaryConv2d, BinaryLinear
from onebit.nn.unit import BinaryUnit, ConvFactory, make_shortcut

__all__ = ["BinaryConv2d", "BinaryLayer", "BinaryLinear", "BinaryTerm", "BinaryUnit", "ConvFactory", "make_shortcut"]
