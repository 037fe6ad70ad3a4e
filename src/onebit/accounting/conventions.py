"""How costs are counted: the conventions of the papers and libraries, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onebit.errors import UsageError
from onebit.registry import Registry

Norms = Literal["none", "learned", "folded", "all"]


@dataclass(frozen=True)
class Convention:
    """What counts as storage and as computation.

    Storage is ``sum of bits * numbers`` over what is counted: latent weights of binary layers at ``weight_bits`` each, every
    other weight and bias at the bits of its dtype (32 for float32), and

    norms: of every normalisation ``none``, the ``learned`` vectors (gamma, beta), the two that it is ``folded`` to, or
        ``all`` four (gamma, beta, mean, variance).
    scales: one real number for every filter of a binary layer (and every weight basis).
    packed: binary weights as they lie in memory, padded to whole words (:func:`~onebit.accounting.memory.packed_bits`), and
        a scale vector for every binary layer that no norm follows, instead of ``scales``.

    Computation is ``real MACs + one-bit MACs / 64`` in every convention. MACs by precision are

    bit_serial: one-bit MACs, ``weight_bits * activation_bits`` for every product of a binary layer; otherwise the product counts
        once, at the wider of its two operands.

    ``twin`` names the convention in which the full-precision network that it is compared with is counted.
    """

    name: str
    what: str
    norms: Norms = "none"
    scales: bool = False
    packed: bool = False
    bit_serial: bool = True
    twin: str = ""


CONVENTIONS: Registry[Convention] = Registry("convention")

for _convention in (
    Convention("paper", "weights and biases, no norms: the rule of the IGP table for 1-bit networks", twin="float"),
    Convention(
        "paper-scales", "as paper, with one real scale per binary filter: its XNOR rows", scales=True, twin="float"
    ),
    Convention("float", "as paper, with gamma and beta of the norms: its full-precision rows", norms="learned"),
    Convention(
        "larq", "a norm is two vectors, a MAC has the precision of its wider operand", norms="folded", bit_serial=False
    ),
    Convention(
        "deployed",
        "packed words, norms folded to two vectors, what only training needs left out",
        norms="folded",
        packed=True,
    ),
):
    CONVENTIONS.add(_convention.name, _convention)


def get_convention(convention: str | Convention) -> Convention:
    """The convention of that name, or the convention itself if one is given.

    >>> get_convention("larq").norms
    'folded'
    """
    if isinstance(convention, Convention):
        return convention
    if not isinstance(convention, str):
        raise UsageError(f"a convention is a Convention or the name of one, got {convention!r}")
    return CONVENTIONS[convention]
