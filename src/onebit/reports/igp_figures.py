"""IGP's two figures of structure, as pictures and as tables: representational capability and gradient paths."""

from __future__ import annotations

from onebit.reports.table import Column, Table

#: block -> N1, N2, N3 and lengths as the paper states them
PRINTED = {
    "resnet": ("0", "2N^R (2)", ""),
    "bireal": ("0", "N^BR (1)", "2N^BR (2)"),
    "ebireal": ("0", "N^ER (1)", "2N^ER (2)"),
    "igp_resnet": ("0", "N^IR (1)", "2N^IR (2)"),
    "binary_densenet": ("0", "N1^BD ~ N2^BD (1)", "N1^BD + N2^BD (2)"),
    "igp_densenet": ("0", "N1^ID (1)", "N1^ID + N2^ID (2)"),
}


def igp_figure2_table() -> Table:
    """The six statements on gradient paths: the paper's, and what the blocks themselves give."""
    from onebit.accounting.blocks import BLOCKS, block_paths

    rows = []
    for name, printed in PRINTED.items():
        paths = block_paths(name)
        found = [
            symbol if level.cost == 0 else f"{symbol} ({level.length})"
            for symbol, level in zip(paths.expressions, paths.levels, strict=True)
        ]
        found += [""] * (3 - len(found))
        costs = [*(level.cost / 1e6 for level in paths.levels[1:]), None, None][:2]
        rows.append([BLOCKS[name].title, *printed[1:], *found[1:], *costs, tuple(found) == printed])
    columns = [
        "block",
        *(f"paper, {level}" for level in ("N2 (L)", "N3 (L)")),
        *(f"ours, {level}" for level in ("N2 (L)", "N3 (L)")),
        *(Column(f"ours, {level} (1e6)", ",.1f") for level in ("N2", "N3")),
        "agree",
    ]
    widths = ", ".join(
        f"{block.title} " + ", ".join(f"{option} {value}" for option, value in block.options.items())
        for block in BLOCKS.values()
    )
    notes = [
        "Paper: IGP. N1 = 0 (L = 0) for all six. Costs within 10 % count as one level.",
        f"Ours: read from the blocks as built, maps of 56 x 56; {widths}.",
    ]
    return Table("IGP, figure 2: gradient paths of six blocks", columns, rows, notes)


def igp_figure2_svg() -> str:
    """The six blocks with their cheapest paths, as the text of an SVG file."""
    from onebit.accounting.blocks import block_paths
    from onebit.reports.figures.paths import path_panels_figure
    from onebit.reports.figures.style import styled, svg_text

    with styled():
        return svg_text(path_panels_figure([block_paths(name) for name in PRINTED]))


def igp_figure1_table(height: int = 14, width: int = 14, channels: int = 32, kernel: int = 3) -> Table:
    """log2 R of every tensor of a unit, and of the addition as claimed and as corrected."""
    from onebit.accounting.capability import representational_capability

    found = representational_capability(height, width, channels, kernel)
    rows = [
        ["A_b", "sign", "2^(HWC)", found.binary],
        ["A_m", "1-bit convolution", "(hwC + 1)^(HWC)", found.convolved],
        ["A_r", "batch norm", "(hwC + 1)^(HWC)", found.normalized],
        ["A_add", "addition, claimed by Bi-Real", "(hwC + 1)^(2 HWC)", found.claimed],
        ["A_add", "addition, corrected by IGP", "(hwC + 1)^(HWC)", found.added],
    ]
    title = (
        f"IGP, figure 1: representational capability, {height} x {width} x {channels} maps, {kernel} x {kernel} kernel"
    )
    notes = ["R: how many maps the tensor can be. The next sign brings it back to 2^(HWC)."]
    return Table(title, ["tensor", "after", "R", Column("log2 R", ",.0f")], rows, notes)


def igp_figure1_svg() -> str:
    """The unit with R at each of its tensors, as the text of an SVG file."""
    from onebit.reports.figures.capability import capability_figure
    from onebit.reports.figures.style import styled, svg_text

    with styled():
        return svg_text(capability_figure())
