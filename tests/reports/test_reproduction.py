"""A reproduced table in its forms; the papers' numbers, spot by spot; costs that have to be the printed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from onebit.errors import UsageError
from onebit.reports import Spread, Table, paper_numbers
from onebit.reports.paper_costs import EFFICIENCY_BUILDS, IGP_BUILDS, Cost, count, verdict
from onebit.reports.reproduce import list_reproductions, reproduce
from onebit.reports.reproduction import Reproduction


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("rbcn-ablation", "64-64-128-256", "R+G+B", 66.27),
        ("rbcn-cifar", "RBCN, ResNet18 32-32-64-128", "CIFAR-100", 61.09),
        ("rbcn-cifar", "PCNN, WRN40 64-64-128-256", "CIFAR-10", 93.78),
        ("rbcn-imagenet", "RBCN", "top-5 (%)", 81.6),
        ("rbcn-imagenet", "ABC-Net", "top-1 (%)", 42.7),
        ("rbcn-efficiency", "XNOR", "saving", 11.10),
        ("igp-table1", "IGP-ResNet41(48)", "storage (Mbit)", 42.6),
        ("igp-table1", "IGP-DenseNet69(48)", "top-5 error (%)", 14.59),
        ("igp-table1", "TBN ResNet34", "computation (1e9)", 0.23),
        ("igp-table1", "UaBNN", "top-1 error (%)", 39.40),
    ],
)
def test_numbers_of_the_papers(table: str, row: str, column: str, value: float) -> None:
    assert paper_numbers(table).values[row, column] == value


@pytest.mark.parametrize("name", ["rbcn-ablation", "rbcn-cifar", "rbcn-imagenet", "rbcn-efficiency", "igp-table1"])
def test_paper_tables_hold_together(name: str) -> None:
    paper = paper_numbers(name)
    assert paper.name == name
    assert set(paper.values) <= {(row, column) for row in paper.rows for column in paper.columns}
    assert set(paper.remarks) <= set(paper.rows)
    assert set(paper.formats) <= set(paper.columns)
    assert len(paper.table().rows) == len(paper.rows)
    assert name in list_reproductions()


def test_what_a_paper_is_not_known_to_print_is_not_there() -> None:
    values = paper_numbers("igp-table1").values
    assert ("Si-ResNet18", "storage (Mbit)") not in values
    assert ("IR-ResNet18", "computation (1e9)") not in values
    assert ("RBCN, WRN22 64-64-128-256", "CIFAR-10") not in paper_numbers("rbcn-cifar").values


def test_every_build_belongs_to_a_printed_row() -> None:
    assert set(IGP_BUILDS) <= set(paper_numbers("igp-table1").rows)
    assert set(EFFICIENCY_BUILDS) == set(paper_numbers("rbcn-efficiency").rows)


# (row, number of the build) -> ours as shape arithmetic by hand gives it, Mbit and 1e9 multiplications, and the verdict
COSTS = {
    ("full-precision ResNet18", 0): (374.064, 1.8141, "match"),
    ("full-precision ResNet34", 0): (697.526, 3.6638, "storage +0.032 %"),
    ("Bi-Real ResNet18", 0): (33.208, 0.1640, "match"),
    ("Bi-Real ResNet34", 0): (43.308, 0.1929, "match"),
    ("BNN ResNet18", 0): (27.875, 0.1450, "computation +3.6 %"),
    ("XNOR ResNet18", 0): (28.026, 0.1450, "computation +3.6 %"),
    ("TBN ResNet18", 0): (27.875, 0.1715, "match"),
    ("TBN ResNet34", 0): (37.975, 0.2293, "match"),
    ("IGP-ResNet37(41)", 0): (33.243, 0.1333, "match"),
    ("IGP-ResNet37(41)", 1): (30.984, 0.1254, "storage -6.7 %"),
    ("IGP-ResNet41(48)", 0): (42.641, 0.1637, "match"),
    ("BinaryDenseNet51(32)", 0): (34.798, 0.2660, "match"),
    ("BinaryDenseNet69(32)", 0): (42.009, 0.2771, "match"),
    ("IGP-DenseNet51(53)", 0): (34.494, 0.3041, "match"),
    ("IGP-DenseNet51(53)", 1): (30.120, 0.2719, "storage -13 %, computation -9.4 %"),
    ("IGP-DenseNet69(48)", 0): (41.480, 0.3102, "match"),
    ("IGP-DenseNet69(48)", 1): (32.392, 0.2616, "storage -22 %, computation -16 %"),
}


@pytest.mark.parametrize(("row", "number"), COSTS, ids=str)
def test_costs(row: str, number: int) -> None:
    storage, computation, told = COSTS[row, number]
    cost = count(IGP_BUILDS[row][number])
    assert (round(cost.storage, 3), round(cost.computation, 4)) == (storage, computation)
    values = paper_numbers("igp-table1").values
    printed = values[row, "storage (Mbit)"], values[row, "computation (1e9)"]
    quantities = [("storage", cost.storage, printed[0], ".1f"), ("computation", cost.computation, printed[1], ".2f")]
    assert verdict(quantities) == told


def test_costs_of_every_build_are_tested() -> None:
    assert set(COSTS) == {(row, i) for row, builds in IGP_BUILDS.items() for i in range(len(builds))}


def test_efficiency() -> None:
    table = reproduce("rbcn-efficiency").table
    names = [column.name for column in table.columns]
    lines = [dict(zip(names, row, strict=True)) for row in table.rows]
    savings = [line["ours, saving"] for line in lines if line["network"] == "XNOR"]
    assert [f"{saving:.2f}" for saving in savings] == ["11.26", "11.16", "11.12", "11.06"]
    assert {f"{line['ours, multiplications (1e9)']:.3f}" for line in lines if line["network"] != "full precision"} == {
        "0.164"
    }
    assert all(line["remark"] for line in lines if line["cost"] != "match")


def test_every_gap_has_a_reason() -> None:
    table = reproduce("igp-table1", None).table
    names = [column.name for column in table.columns]
    cost, remark = names.index("cost"), names.index("remark")
    assert all(row[remark] for row in table.rows if row[cost] != "match")


def test_a_fitted_network_is_said_to_be_fitted() -> None:
    table = reproduce("igp-table1", None).table
    cost = [column.name for column in table.columns].index("cost")
    told = {row[0]: row[cost] for row in table.rows}
    assert {name: text for name, text in told.items() if text and "fitted" in text} == {
        "IGP-DenseNet51(53)": "match, fitted",
        "IGP-DenseNet69(48)": "match, fitted",
    }


def test_verdict_is_about_printed_digits() -> None:
    assert verdict([("a", 33.249, 33.2, ".1f")]) == "match"
    assert verdict([("a", 33.251, 33.2, ".1f")]) == "a +0.15 %"
    assert verdict([("a", 1.0, None, ".1f")]) is None
    assert Cost(1.0, 2.0) == Cost(1.0, 2.0)


def test_a_figure_needs_a_figure_and_a_known_ending(tmp_path: Path) -> None:
    table = Table("t", ["a"], [(1,)])
    with pytest.raises(UsageError, match="is a table and has no figure"):
        Reproduction("x", table).write(csv=tmp_path / "t.csv", figure=tmp_path / "f.svg")
    drawn = Reproduction("x", table, draw=lambda kind: f"<svg>{kind}".encode())
    with pytest.raises(UsageError, match=r"f\.gif has to end in \.svg or \.png"):
        drawn.write(csv=tmp_path / "t.csv", figure=tmp_path / "f.gif")
    assert list(tmp_path.iterdir()) == []
    assert drawn.write(figure=tmp_path / "f.PNG") == [tmp_path / "f.PNG"]
    assert (tmp_path / "f.PNG").read_bytes() == b"<svg>png"


def test_long_texts_go_below_only_where_it_is_narrow(tmp_path: Path) -> None:
    rows = [("net", Spread(1.0, None, 1), "why"), ("other", None, None)]
    done = Reproduction("x", Table("t", ["a", "ours", "remark"], rows, ["n"]), ("remark",), ("ours",))
    assert done.narrow().notes == ["net: why", "n"]
    assert [column.name for column in done.narrow().columns] == ["a", "ours"]
    assert done.csv() == "a,ours,ours: deviation,ours: runs,remark\nnet,1.0,,1,why\nother,,,,\n"
    done.write(markdown=tmp_path / "t.md", html=tmp_path / "t.html")
    assert (tmp_path / "t.md").read_text().endswith("net: why\n\nn\n")
    assert '<p class="note">net: why</p>' in (tmp_path / "t.html").read_text()


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"unknown table or figure 'igp-tabel1'; did you mean 'igp-table1'\?"):
        reproduce("igp-tabel1")
    with pytest.raises(UsageError, match="is run from a recipe"):
        reproduce("rbcn-ablation")
