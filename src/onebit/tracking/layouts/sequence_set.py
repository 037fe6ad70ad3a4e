"""The sequences of a data set, and what there is to say about how they were found."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from onebit.errors import unknown_name
from onebit.tracking.sequences import Sequence, first_names


def known_subset(kind: str, subset: str | None, valid: Iterable[str]) -> str | None:
    """A subset as the data set writes it, from letters of either case; ``None`` where none was named.

    Raises:
        UsageError: for an unknown one, with the nearest.

    >>> known_subset("subset of OTB", "tb50", ["OTB2013", "TB50"])
    'TB50'
    """
    if subset is None:
        return None
    by_letters = {name.lower(): name for name in valid}
    if subset.lower() not in by_letters:
        raise unknown_name(kind, subset, by_letters.values())
    return by_letters[subset.lower()]


@dataclass(frozen=True)
class SequenceSet:
    """Sequences under one root.

    Attributes:
        layout: a name of :data:`onebit.tracking.layouts.LAYOUTS`.
        name: the data set as toolkits name its folder of results: ``GOT-10k``, ``OTB2015``, ``UAV123`` ...
        subset: the split or the named subset (``val``, ``OTB2013``), or ``all``.
        missing: names that belong to the subset and were not found; left_out: others, with the reason.
    """

    layout: str
    root: Path
    name: str
    subset: str
    sequences: tuple[Sequence, ...]
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def title(self) -> str:
        """The data as a heading names it; sequences of OTB are called OTB2015 only where that was asked for.

        >>> SequenceSet("got10k", Path(), "GOT-10k", "val", ()).title, SequenceSet("otb", Path(), "OTB2015", "all", ()).title
        ('GOT-10k val', 'OTB')
        """
        if self.layout == "otb":
            return "OTB" if self.subset == "all" else self.subset
        return self.name if self.subset in ("all", self.name) else f"{self.name} {self.subset}"

    def select(self, names: Collection[str]) -> SequenceSet:
        """Only the named sequences, under any of their names, in the data set's order.

        Raises:
            UsageError: for an unknown name, with the nearest.
        """
        by_name = {name: sequence for sequence in self.sequences for name in (*sequence.aliases, sequence.name)}
        for name in names:
            if name not in by_name:
                raise unknown_name("sequence", name, by_name)
        wanted = {id(by_name[name]) for name in names}
        return replace(self, sequences=tuple(one for one in self.sequences if id(one) in wanted), missing=())

    def facts(self) -> list[str]:
        """What was found, what is missing and what was cut, in sentences for the user."""
        frames = sum(map(len, self.sequences))
        lines = [
            f"{self.root}: {self.layout} layout, {self.title}, {len(self)} sequence{'s' * (len(self) != 1)}, {frames:,} frames"
        ]
        if self.missing:
            total = len(self) + len(self.missing)
            lines.append(
                f"{len(self.missing)} of the {total} sequences of {self.subset} are not there ({first_names(self.missing)}): "
                "scores over the rest are not comparable with published ones"
            )
        lines += self.left_out
        lines += [f"{sequence.name}: {sequence.note}" for sequence in self.sequences if sequence.note]
        return lines
