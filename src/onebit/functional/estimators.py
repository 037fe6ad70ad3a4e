"""What stands in for the derivative of sign: the estimators, each with the little that its gradient needs to keep.

The derivative of ``sign`` is zero almost everywhere, so training replaces it. An estimator is that replacement,
``g(x)``, and a compact code of ``x`` from which the backward pass reads both ``sign(x)`` and ``g(x)``:

============  =========================================  ==================  ================================
name          g(x)                                       kept per element    source
============  =========================================  ==================  ================================
``clip``      1 where abs(x) <= 1, else 0                2 bits              Courbariaux et al. 2016
``box``       1 where abs(x) <= 1/2, else 0              2 bits              Lin et al. 2017
``bireal``    2 - 2 abs(x) where abs(x) < 1, else 0      8 bits              Liu et al. 2018; RBCN Eq. 8
``identity``  1                                          1 bit               Bengio et al. 2013
============  =========================================  ==================  ================================

``bireal``'s byte holds the sign and abs(x) rounded to a multiple of 1/126, so its g is off by at most 1/126. Double
precision inputs are kept as they are: there every g is exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from onebit.functional.packing import pack_bytes, unpack_bytes
from onebit.registry import Registry


class Estimator(ABC):
    """A surrogate derivative of sign, and the compact code of its input that the backward pass reads."""

    name: str
    bits: int

    @abstractmethod
    def derivative(self, x: Tensor) -> Tensor:
        """g(x), element by element: the formula itself."""

    @abstractmethod
    def encode(self, x: Tensor, signs: Tensor) -> tuple[Tensor, ...]:
        """What the backward pass needs of ``x`` (``signs`` is its sign), in ``bits`` bits an element."""

    @abstractmethod
    def decode_sign(self, code: tuple[Tensor, ...], shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """``sign(x)`` as +1/-1 of ``dtype``, from the code."""

    @abstractmethod
    def backward(self, gradient: Tensor, code: tuple[Tensor, ...]) -> Tensor:
        """``gradient * g(x)``, from the code."""

    def __repr__(self) -> str:
        return f"estimator {self.name}"


ESTIMATORS: Registry[Estimator] = Registry("estimator")


# Comparisons write floats here: on a CPU that is several times faster than making booleans and converting them.


def _pack_signs(signs: Tensor) -> Tensor:
    return pack_bytes(signs.clamp(0, 1).to(torch.uint8))


def _unpack_signs(packed: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return unpack_bytes(packed, shape.numel()).view(shape).to(dtype).mul_(2).sub_(1)


class Clip(Estimator):
    """Clipped straight-through: g(x) = 1 where abs(x) <= 1, else 0.

    >>> Clip().derivative(torch.tensor([-1.5, -1.0, 0.0, 0.5]))
    tensor([0., 1., 1., 1.])
    """

    name = "clip"
    bits = 2
    reach = 1.0

    def derivative(self, x: Tensor) -> Tensor:
        return (x.abs() <= self.reach).to(x.dtype)

    def encode(self, x: Tensor, signs: Tensor) -> tuple[Tensor, ...]:
        magnitude = x.abs()
        inside = torch.le(magnitude, self.reach, out=magnitude).to(torch.uint8)
        return _pack_signs(signs), pack_bytes(inside)

    def decode_sign(self, code: tuple[Tensor, ...], shape: torch.Size, dtype: torch.dtype) -> Tensor:
        return _unpack_signs(code[0], shape, dtype)

    def backward(self, gradient: Tensor, code: tuple[Tensor, ...]) -> Tensor:
        inside = unpack_bytes(code[1], gradient.numel()).view(gradient.shape)
        return inside.to(gradient.dtype).mul_(gradient)


class Box(Clip):
    """Straight-through in a window of width 1, as ABC-Net's clip(x + v, 0, 1) has it: 1 where abs(x) <= 1/2, else 0.

    >>> Box().derivative(torch.tensor([-1.0, -0.5, 0.0, 0.75]))
    tensor([0., 1., 1., 0.])
    """

    name = "box"
    reach = 0.5


class BiReal(Estimator):
    """Bi-Real's piecewise polynomial: g(x) = 2 + 2x on [-1, 0), 2 - 2x on [0, 1), else 0 (RBCN Eq. 8).

    >>> BiReal().derivative(torch.tensor([-1.5, -0.25, 0.0, 0.5]))
    tensor([0.0000, 1.5000, 2.0000, 1.0000])
    """

    name = "bireal"
    bits = 8

    def derivative(self, x: Tensor) -> Tensor:
        return (2 - 2 * x.abs()).clamp_(min=0)

    def encode(self, x: Tensor, signs: Tensor) -> tuple[Tensor, ...]:
        # sign * (1 + round(126 abs(x))): from 1 to 127, so the sign survives at zero; 127 stands for g = 0.
        return (x.clamp(-1, 1).mul_(126).add_(signs, alpha=1.5).to(torch.int8),)

    def decode_sign(self, code: tuple[Tensor, ...], shape: torch.Size, dtype: torch.dtype) -> Tensor:
        return code[0].clamp(-1, 1).to(dtype)

    def backward(self, gradient: Tensor, code: tuple[Tensor, ...]) -> Tensor:
        steps = code[0].abs().neg_().add_(127)
        return steps.to(gradient.dtype).mul_(2 / 126).mul_(gradient)


class Identity(Estimator):
    """Plain straight-through: g(x) = 1 everywhere.

    >>> Identity().derivative(torch.tensor([-3.0, 0.0]))
    tensor([1., 1.])
    """

    name = "identity"
    bits = 1

    def derivative(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def encode(self, x: Tensor, signs: Tensor) -> tuple[Tensor, ...]:
        return (_pack_signs(signs),)

    def decode_sign(self, code: tuple[Tensor, ...], shape: torch.Size, dtype: torch.dtype) -> Tensor:
        return _unpack_signs(code[0], shape, dtype)

    def backward(self, gradient: Tensor, code: tuple[Tensor, ...]) -> Tensor:
        return gradient.clone()


for _estimator in (Clip(), Box(), BiReal(), Identity()):
    ESTIMATORS.add(_estimator.name, _estimator)


def get_estimator(estimator: str | Estimator) -> Estimator:
    """The estimator of that name, or the estimator itself if one is given."""
    return estimator if isinstance(estimator, Estimator) else ESTIMATORS[estimator]
