"""What a network costs and how gradients pass through it: storage, computation, memory, gradient paths, widths at equal cost."""

from onebit.accounting.blocks import block_paths, list_blocks
from onebit.accounting.capability import Capability, representational_capability
from onebit.accounting.conventions import CONVENTIONS, Convention
from onebit.accounting.fit_width import FittedWidth, fit_width
from onebit.accounting.paths import GradientPaths, gradient_paths
from onebit.accounting.summary import LayerCost, Summary, summarize

__all__ = [
    "CONVENTIONS",
    "Capability",
    "Convention",
    "FittedWidth",
    "GradientPaths",
    "LayerCost",
    "Summary",
    "block_paths",
    "fit_width",
    "gradient_paths",
    "list_blocks",
    "representational_capability",
    "summarize",
]
