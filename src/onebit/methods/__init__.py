"""The published methods, one file each: how numbers become bits."""

from onebit.methods import bireal, rbcn, real, xnor
from onebit.methods.registry import METHODS, Method, get_method, list_methods

__all__ = ["METHODS", "Method", "bireal", "get_method", "list_methods", "rbcn", "real", "xnor"]
