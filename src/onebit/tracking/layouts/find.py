"""Which layout a folder has, and its sequences."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from onebit.errors import DataError, unknown_name
from onebit.tracking.layouts import got10k, lone_folder, otb, uav123
from onebit.tracking.layouts.sequence_set import SequenceSet
from onebit.tracking.sequences import first_names

# name: (what it looks like, whether a folder looks like it, its reader)
LAYOUTS: dict[str, tuple[str, Callable[[Path], bool], Callable[[Path, str | None], SequenceSet]]] = {
    "got10k": (got10k.LOOKS, got10k.looks_like, got10k.load),
    "uav123": (uav123.LOOKS, uav123.looks_like, uav123.load),
    "otb": (otb.LOOKS, otb.looks_like, otb.load),
    "folder": (lone_folder.LOOKS, lone_folder.looks_like, lone_folder.load),
}


def find_layout(root: str | os.PathLike[str]) -> str:
    """The name of the layout that a folder has.

    Raises:
        DataError: when it does not exist, or has none of the known layouts (they are described).
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"the data folder {root} {'is a file' if root.exists() else 'does not exist'}; name a folder")
    for name, (_, looks_like, _) in LAYOUTS.items():
        if looks_like(root):
            return name
    held = ", ".join(sorted(path.name + "/" * path.is_dir() for path in root.iterdir())[:6]) or "nothing"
    for child in sorted(path for path in root.iterdir() if path.is_dir()):
        for name, (_, looks_like, _) in LAYOUTS.items():
            if looks_like(child):
                raise DataError(
                    f"{root} has no layout of sequences itself, but {child} has the layout {name}: name that folder"
                )
    known = "; ".join(f"{name}: {looks}" for name, (looks, _, _) in LAYOUTS.items())
    raise DataError(f"{root} has no layout of sequences that is known: it holds {held}. Known are {known}")


def load_sequences(
    root: str | os.PathLike[str],
    layout: str | None = None,
    subset: str | None = None,
    names: Collection[str] | None = None,
) -> SequenceSet:
    """The sequences below ``root``.

    Args:
        layout: a name of :data:`LAYOUTS`; found by looking when it is not given.
        subset: a split (``train``, ``val``, ``test`` of GOT-10k), a named subset (``OTB2013``, ``TB50``, ``TB100``), or a
            version (``UAV123``, ``UAV20L``, ``UAV123_10fps``); letters may be of either case.
        names: only these sequences.

    Raises:
        UsageError: for an unknown layout, subset or name; DataError: for files that are missing or wrong.
    """
    if layout is not None and layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    root = Path(root)
    layout = layout or find_layout(root)
    if not root.is_dir():
        raise DataError(f"the data folder {root} does not exist; name the folder that holds the sequences")
    looks, _, load = LAYOUTS[layout]
    found = load(root, subset)
    if not found.sequences:
        reasons = list(found.left_out)
        if found.missing:
            reasons.append(f"of {found.subset}, these are not there: {first_names(found.missing)}")
        raise DataError("; ".join([f"{root} holds no sequence in the layout {layout} ({looks})", *reasons]))
    return found if names is None else found.select(names)
