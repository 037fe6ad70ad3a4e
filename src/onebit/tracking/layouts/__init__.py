"""Data sets on disk: which layout a folder has is found by looking, and what was found is said."""

from onebit.tracking.layouts.find import LAYOUTS, find_layout, load_sequences
from onebit.tracking.layouts.sequence_set import SequenceSet

__all__ = ["LAYOUTS", "SequenceSet", "find_layout", "load_sequences"]
