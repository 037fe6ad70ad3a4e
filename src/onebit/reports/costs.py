"""Tables of what a network costs: totals beside its full-precision twin, stage by stage, layer by layer."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onebit.reports.table import Column, Table

if TYPE_CHECKING:
    from onebit.accounting import LayerCost, Summary

_MANY_GROUPS = 24
_STORAGE, _COMPUTATION = "storage (Mbit)", "computation (1e9)"
_DEPLOYED, _PEAK, _KEPT = (
    "size as deployed (MB)",
    "activations at once (MB)",
    "kept for backward (MB an image)",
)
_COMPARED = (_STORAGE, _COMPUTATION, _DEPLOYED, _PEAK, _KEPT)


def totals_table(summary: Summary, twin: Summary | None = None) -> Table:
    """Storage, computation and memory; with a ``twin``, its figures and how many times ours fit in them."""
    rows = []
    for name, ours, form in _totals(summary):
        row: list[object] = [name, format(ours, form)]
        if twin is not None:
            theirs = next((value for label, value, _ in _totals(twin) if label == name), None)
            compared = theirs is not None and ours and name in _COMPARED
            row += ["" if theirs is None else format(theirs, form), f"{theirs / ours:.2f}x" if compared else ""]
        rows.append(row)
    columns = [Column(""), Column(summary.method, align="right")]
    notes = ["computation: real multiplications, 64 one-bit ones as one; kept besides: whatever the batch"]
    notes += [f"convention {summary.convention.name}: {summary.convention.what}"]
    if twin is not None:
        columns += [Column(twin.method, align="right"), Column("ratio", align="right")]
        if twin.convention != summary.convention:
            notes.append(f"the twin by convention {twin.convention.name}: {twin.convention.what}")
    shape = "x".join(map(str, summary.input_shape[1:]))
    return Table(f"{summary.model} on one image of {shape}", columns, rows, notes)


def _totals(summary: Summary) -> list[tuple[str, float, str]]:
    widths = sorted(set(summary.parameters) | set(summary.macs))
    parameters = [(f"parameters of {_bits(b)}", summary.parameters.get(b, 0), ",") for b in widths]
    macs = [(f"MACs at {_bits(b)}", summary.macs.get(b, 0), ",") for b in widths]
    return [
        (_STORAGE, summary.storage_bits / 1e6, ".3f"),
        (_COMPUTATION, summary.computation / 1e9, ".4f"),
        *parameters,
        *macs,
        (_DEPLOYED, summary.deployed_bits / 8e6, ".3f"),
        (_PEAK, summary.peak_activation_bytes / 1e6, ".3f"),
        (_KEPT, summary.kept_bytes / 1e6, ".3f"),
        ("kept besides (MB)", summary.kept_fixed_bytes / 1e6, ".3f"),
    ]


def stage_table(summary: Summary) -> Table:
    """One row for every part of the network, as far as it fits a screen."""
    parts: dict[str, list[LayerCost]] = {}
    for layer, part in zip(summary.layers, group_paths([layer.path for layer in summary.layers]), strict=True):
        parts.setdefault(part, []).append(layer)
    return _brief("by part", [(name or "(itself)", layers) for name, layers in parts.items()])


def brief_layer_table(summary: Summary) -> Table:
    """One row for every layer, narrow enough for a screen."""
    return _brief("by layer", [(f"{layer.path} {layer.op}".strip(), [layer]) for layer in summary.layers])


def _brief(title: str, parts: Sequence[tuple[str, Sequence[LayerCost]]]) -> Table:
    rows = []
    for name, layers in parts:
        parameters, macs = _sum(layer.parameters for layer in layers), _sum(layer.macs for layer in layers)
        shape = next((layer.output_shape[1:] for layer in reversed(layers) if layer.output_shape), ())
        rows.append(
            (
                name,
                "x".join(map(str, shape)),
                sum(number for bits, number in parameters.items() if bits < 16) or None,
                sum(number for bits, number in parameters.items() if bits >= 16) or None,
                sum(layer.storage_bits for layer in layers) / 1e3,
                sum(number for bits, number in macs.items() if bits < 16) / 1e6 or None,
                sum(number for bits, number in macs.items() if bits >= 16) / 1e6 or None,
                sum(layer.kept_bytes for layer in layers) / 1e3,
            )
        )
    columns = [Column("part"), Column("output"), *(Column(name, form) for name, form in _BRIEF)]
    return Table(title, columns, rows)


_BRIEF = (
    ("1-bit", ","),
    ("real", ","),
    ("kbit", ",.1f"),
    ("1-bit MMAC", ",.2f"),
    ("real MMAC", ",.2f"),
    ("kept kB", ",.1f"),
)


def layer_table(summary: Summary) -> Table:
    """One row for every layer with every figure in full: what files get."""
    widths, precisions = sorted(summary.parameters), sorted(summary.macs)
    columns = ["path", "op", "kind", "output", *(f"parameters_{b}_bit" for b in widths), "storage_bits"]
    columns += [
        *(f"macs_{b}_bit" for b in precisions),
        "computation",
        "activation_bytes",
        "kept_bytes",
        "kept_fixed_bytes",
    ]
    rows = []
    for layer in summary.layers:
        row: list[object] = [layer.path, layer.op, layer.kind, "x".join(map(str, layer.output_shape))]
        row += [*(layer.parameters.get(b, 0) for b in widths), layer.storage_bits]
        row += [*(layer.macs.get(b, 0) for b in precisions), layer.computation]
        rows.append([*row, layer.activation_bytes, layer.kept_bytes, layer.kept_fixed_bytes])
    return Table(f"{summary.model}, layer by layer", columns, rows)


def cost_page(summary: Summary, twin: Summary | None = None) -> str:
    """A self-contained HTML page of the three tables."""
    style = (
        "body{font-family:sans-serif;margin:2em;max-width:90em}table{border-collapse:collapse;margin:1.5em 0}"
        "td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:left}.number{text-align:right}"
        "caption{text-align:left;font-weight:bold;padding:.3em 0}"
    )
    tables = "\n".join(
        table.html() for table in (totals_table(summary, twin), stage_table(summary), layer_table(summary))
    )
    title = html.escape(f"Cost of {summary.model} ({summary.method})")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>\n'
        f"<body><h1>{title}</h1>\n{tables}\n</body></html>\n"
    )


def group_paths(paths: Sequence[str]) -> list[str]:
    """The part that each path belongs to: its first name, or more names where one part would hold most of the layers.

    >>> group_paths(["stem.0", "stages.0.conv", "stages.0.norm", "stages.1.conv", "head"])
    ['stem', 'stages.0', 'stages.0', 'stages.1', 'head']
    """
    depth: dict[str, int] = {}

    def part(path: str) -> str:
        names = path.split(".")
        length = 1
        while length < len(names) and depth.get(".".join(names[:length])):
            length += 1
        return ".".join(names[:length])

    while True:
        parts = [part(path) for path in paths]
        name, count = Counter(parts).most_common(1)[0] if parts else ("", 0)
        if (
            not name
            or 2 * count <= len(paths)
            or all(path == name for path, own in zip(paths, parts, strict=True) if own == name)
        ):
            return parts
        depth[name] = 1
        if len({part(path) for path in paths}) > _MANY_GROUPS:
            return parts


def _sum(counts: Iterable[dict[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for count in counts:
        total.update(count)
    return total


def _bits(bits: int) -> str:
    return f"{bits} bit" if bits == 1 else f"{bits} bits"


def as_json(summary: Summary, twin: Summary | None = None) -> dict[str, Any]:
    """:meth:`~onebit.accounting.Summary.to_dict`, with the twin's totals and ratios if there is one."""
    data = summary.to_dict()
    if twin is not None:
        data["twin"] = {
            "method": twin.method,
            "convention": twin.convention.name,
            "storage_bits": twin.storage_bits,
            "computation": twin.computation,
            "saving": twin.storage_bits / summary.storage_bits if summary.storage_bits else None,
            "speed_up": twin.computation / summary.computation if summary.computation else None,
        }
    return data
