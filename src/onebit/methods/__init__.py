"""The published methods, one file each: how numbers become bits."""

from onebit.methods import abcnet, bireal, bnn, pcnn, rbcn, real, xnor
from onebit.methods.registry import METHODS, Method, get_method, list_methods

__all__ = ["METHODS", "Method", "abcnet", "bireal", "bnn", "get_method", "list_methods", "pcnn", "rbcn", "real", "xnor"]
