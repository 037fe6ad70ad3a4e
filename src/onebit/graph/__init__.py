"""A module as a small graph of operations with shapes, captured without real memory."""

from onebit.graph.capture import bare_module, capture
from onebit.graph.graph import Graph, Node
from onebit.graph.shapes import without_data

__all__ = ["Graph", "Node", "bare_module", "capture", "without_data"]
