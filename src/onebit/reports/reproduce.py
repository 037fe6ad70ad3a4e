"""The papers' tables and figures by name: the printed number, ours, and what ours stands on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from onebit.errors import UsageError, unknown_name
from onebit.reports.found_runs import find_runs
from onebit.reports.reproduction import Reproduction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from onebit.training.ablation import AblationRun
    from onebit.training.recipe import Recipe

Folders = Iterable[str | os.PathLike[str]] | None


def _cifar(runs: Folders) -> Reproduction:
    from onebit.reports.paper_tables import cifar_table

    return cifar_table(find_runs(runs))


def _imagenet(runs: Folders) -> Reproduction:
    from onebit.reports.paper_tables import imagenet_table

    return imagenet_table(find_runs(runs))


def _igp(runs: Folders) -> Reproduction:
    from onebit.reports.paper_tables import igp_table

    return igp_table(find_runs(runs))


def _efficiency(runs: Folders) -> Reproduction:
    from onebit.reports.paper_tables import efficiency_table

    return efficiency_table()


def _figure1(runs: Folders) -> Reproduction:
    from onebit.reports.figures.capability import capability_figure
    from onebit.reports.igp_figures import igp_figure1_table

    return Reproduction("igp-figure1", igp_figure1_table(), draw=lambda kind: _drawn(capability_figure, kind))


def _figure2(runs: Folders) -> Reproduction:
    from onebit.accounting import block_paths
    from onebit.reports.figures.paths import path_panels_figure
    from onebit.reports.igp_figures import PRINTED, igp_figure2_table

    def panels() -> Figure:
        return path_panels_figure([block_paths(name) for name in PRINTED])

    return Reproduction("igp-figure2", igp_figure2_table(), draw=lambda kind: _drawn(panels, kind))


def _drawn(figure: Callable[[], Figure], kind: str) -> bytes:
    from onebit.reports.figures.style import figure_bytes, styled

    with styled():
        return figure_bytes(figure(), kind)


#: the tables and figures that are put together from computed figures and from runs that are there
TABLES: dict[str, Callable[[Folders], Reproduction]] = {
    "rbcn-cifar": _cifar,
    "rbcn-imagenet": _imagenet,
    "rbcn-efficiency": _efficiency,
    "igp-table1": _igp,
    "igp-figure1": _figure1,
    "igp-figure2": _figure2,
}
#: the one that runs what is missing
ABLATION = "rbcn-ablation"
# What is computed whole: no run adds to it.
_WITHOUT_RUNS = ("rbcn-efficiency", "igp-figure1", "igp-figure2")


def list_reproductions() -> list[str]:
    """Names of the tables and figures that can be reproduced.

    >>> list_reproductions()[0]
    'igp-figure1'
    """
    return sorted([ABLATION, *TABLES])


def reproduce(name: str, runs: Folders = None) -> Reproduction:
    """A table or figure of the papers with our side filled in as far as there is something to fill it with.

    Costs and figures are computed on the spot. Accuracies come from finished runs of the same network, method and data; where
    there is none, the cell of ours is None.

    Args:
        name: one of :func:`list_reproductions` but ``rbcn-ablation``, which needs a recipe and runs what is missing:
            see :func:`onebit.training.ablation.run_ablation` and :func:`reproduced_ablation`.
        runs: folders that are searched for finished runs; None is the folder ``runs``, if there is one.
    Raises:
        UsageError: for an unknown name (the nearest is named), for folders without a finished run, and for runs that
            are given to a table which is computed.

    >>> reproduce("rbcn-efficiency").table.rows[0][:4]
    ('full precision', 'float', 374.1, 374.064384)
    """
    if name == ABLATION:
        raise UsageError(f"{ABLATION} is run from a recipe: onebit reproduce {ABLATION} --recipe NAME")
    if name not in TABLES:
        raise unknown_name("table or figure", name, list_reproductions())
    if runs is not None and name in _WITHOUT_RUNS:
        raise UsageError(f"{name} is computed and takes no runs")
    return TABLES[name](runs)


def reproduced_ablation(recipe: Recipe, runs: Sequence[AblationRun]) -> Reproduction:
    """The RBCN ablation from its runs, see :func:`onebit.training.ablation.run_ablation`."""
    from onebit.reports.ablation import ablation_drawing, ablation_results, ablation_table

    table = ablation_table(recipe, runs)
    results = ablation_results(recipe, runs)
    return Reproduction(ABLATION, table, results=results, draw=lambda kind: ablation_drawing(recipe, runs, kind))
