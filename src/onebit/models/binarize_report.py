"""What ``binarize`` did to a network, what it left alone and why, and what would train badly."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

WarningKind = Literal["constant-sign", "no-norm", "few-signs", "first-or-last"]


class BinarizeWarning(UserWarning):
    """A layer was made binary where it can hardly learn; the message names it, the reason and the remedy."""


@dataclass(frozen=True)
class Replaced:
    """A layer that became binary: its path and both layers in words."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Kept:
    """A convolution or linear layer that stayed real, and why."""

    path: str
    layer: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """One binary layer that can hardly learn: what is wrong with it and what to do.

    ``kind`` is ``constant-sign``, ``no-norm``, ``few-signs`` or ``first-or-last``.
    """

    path: str
    kind: WarningKind
    message: str
    remedy: str


@dataclass(frozen=True)
class BinarizeReport:
    """What :func:`~onebit.models.binarize` did; ``print`` shows it as a list.

    Attributes:
        method: name of the method.
        order: what first, last and the warnings were judged by: ``execution`` (the captured forward) or
            ``registration`` (the order in which modules were registered).
        replaced, kept, warnings: one entry per layer (per layer and kind for warnings).
        notes: what else to know: lost hooks, shared layers, an order that was not checked.
    """

    method: str
    order: Literal["execution", "registration"]
    replaced: tuple[Replaced, ...]
    kept: tuple[Kept, ...]
    warnings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return asdict(self)

    def messages(self) -> list[str]:
        """One sentence for each kind of warning, naming the layers that it concerns."""
        texts = []
        for kind, count in Counter(finding.kind for finding in self.warnings).items():
            findings = [finding for finding in self.warnings if finding.kind == kind]
            first, others = findings[0], [finding.path for finding in findings[1:]]
            text = f"{first.path}: {first.message}; {first.remedy}."
            if others:
                more = f" and {count - 4} more (all are in the report)" if count > 4 else ""
                text += f" The same kind: {', '.join(others[:3])}{more}."
            texts.append(text)
        return texts

    def __str__(self) -> str:
        real, doubtful = len(self.kept), len({finding.path for finding in self.warnings})
        head = f"{self.method}: {_count(len(self.replaced), 'layer')} binary, {real} real, {doubtful} with warnings"
        rows = [("binary", r.path, f"{r.before} -> {r.after}") for r in self.replaced]
        rows += [("real", k.path, f"{k.layer}: {k.reason}") for k in self.kept]
        rows += [("warning", w.path, w.message) for w in self.warnings]
        width = max((len(path) for _, path, _ in rows), default=0)
        lines = [f"  {what:<8}{path:<{width}}  {text}" for what, path, text in rows]
        lines += [f"  remedy  {remedy}" for remedy in dict.fromkeys(w.remedy for w in self.warnings)]
        return "\n".join([f"{head} (order of {self.order})", *lines, *(f"  note    {note}" for note in self.notes)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
