"""Table, Spread and the papers' numbers."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import rich.console

from onebit.errors import UsageError
from onebit.reports import Column, Spread, Table, format_cell, paper_numbers, spread
from onebit.reports.ablation import ablation_table


@pytest.fixture
def table() -> Table:
    columns = ["method", Column("top-1 (%)", ".1f"), Column("weights", ","), Column("ok")]
    rows = [
        ("rbcn", Spread(54.34, 0.912, 3), 1_234_567, True),
        ("a|b\nc", 3, None, False),
        ("<real>", None, 12.5, None),
    ]
    return Table("Table & title", columns, rows, ["one note", "another"])


def test_markdown(table: Table) -> None:
    assert table.markdown() == (
        "**Table & title**\n"
        "\n"
        "| method |        top-1 (%) |   weights | ok  |\n"
        "| :----- | ---------------: | --------: | :-- |\n"
        "| rbcn   | 54.3 ± 0.9 (n=3) | 1,234,567 | yes |\n"
        "| a\\|b c |              3.0 |           | no  |\n"
        "| <real> |                  |      12.5 |     |\n"
        "\n"
        "one note\n"
        "\n"
        "another"
    )


def test_csv_has_numbers_at_full_precision(table: Table) -> None:
    assert table.csv() == (
        'method,top-1 (%),weights,ok\nrbcn,54.3 ± 0.9 (n=3),1234567,yes\n"a|b\nc",3,,no\n<real>,,12.5,\n'
    )
    assert Table("", [Column("x", ".1f")], [[0.1 + 0.2]]).csv() == "x\n0.30000000000000004\n"


def test_html_is_escaped(table: Table) -> None:
    assert table.html() == (
        "<table>\n<caption>Table &amp; title</caption>\n"
        '<thead><tr><th scope="col">method</th><th scope="col" class="number">top-1 (%)</th>'
        '<th scope="col" class="number">weights</th><th scope="col">ok</th></tr></thead>\n<tbody>\n'
        '<tr><td>rbcn</td><td class="number">54.3 ± 0.9 (n=3)</td><td class="number">1,234,567</td><td>yes</td></tr>\n'
        '<tr><td>a|b\nc</td><td class="number">3.0</td><td class="number"></td><td>no</td></tr>\n'
        '<tr><td>&lt;real&gt;</td><td class="number"></td><td class="number">12.5</td><td></td></tr>\n'
        '</tbody>\n</table>\n<p class="note">one note</p>\n<p class="note">another</p>'
    )


def test_rich_takes_names_literally() -> None:
    console = rich.console.Console(file=io.StringIO(), width=60, color_system=None)
    console.print(Table("[bold]t", ["[red]name", Column("n", ".1f")], [("[/]", 1.25), ("b", None)], ["[note]"]).rich())
    printed = console.file.getvalue()  # ty: ignore[unresolved-attribute]
    lines = [line.rstrip() for line in printed.splitlines()]
    assert lines == ["[bold]t", "", "  [red]name     n", " ─────────────────", "  [/]         1.2", "  b", "", "[note]"]


def test_alignment_can_be_asked_for() -> None:
    table = Table("", [Column("n", align="left"), Column("word", align="right")], [(1, "a")])
    assert table.markdown().splitlines() == ["| n  | word |", "| :- | ---: |", "| 1  |    a |"]


def test_rows_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match=r"row 2 of 'T' has 1 cells for 2 columns: \('x',\)"):
        Table("T", ["a", "b"], [(1, 2), ("x",)])


def test_empty_columns_can_be_dropped() -> None:
    table = Table("T", ["a", "b", "c"], [(1, None, 0), (None, None, "")], ["n"]).without_empty_columns()
    assert table.csv() == "a,c\n1,0\n,\n"
    assert table.notes == ["n"]
    assert len(Table("T", ["a", "b"], []).without_empty_columns().columns) == 2


def test_a_table_without_rows_prints_its_head() -> None:
    assert Table("", ["a", "bc"], []).markdown() == "| a  | bc |\n| :- | :- |"


def test_spread_is_the_sample_standard_deviation() -> None:
    measured = spread([55.64, 52.92, 54.49])
    assert measured is not None
    assert measured.n == 3
    assert measured.mean == pytest.approx(54.35)
    assert measured.std == pytest.approx(math.sqrt(((1.29**2) + (1.43**2) + (0.14**2)) / 2))
    assert f"{measured}" == "54.4 ± 1.4 (n=3)"
    assert f"{measured:.2f}" == "54.35 ± 1.37 (n=3)"


def test_spread_of_few_values() -> None:
    assert spread([]) is None
    assert spread([None, None]) is None
    assert str(spread([None, 5])) == "5.0 (n=1)"
    diverged = spread([1.0, math.nan])
    assert diverged is not None
    assert math.isnan(diverged.mean)


def test_paper_numbers_are_those_printed() -> None:
    assert paper_numbers("rbcn-ablation").table().csv() == (
        "stage widths,Bi,R,R+G,R+G+B\n"
        "32-32-64-128,54.92,56.54,59.13,61.64\n"
        "32-64-128-256,63.11,63.49,64.93,65.38\n"
        "64-64-128-256,63.81,64.13,65.02,66.27\n"
    )
    notes = " ".join(paper_numbers("rbcn-ablation").table().notes)
    assert "IJCAI 2019" in notes
    assert "61.64" in notes
    assert "61.09" in notes


def test_unknown_paper_table_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown paper table 'rbcn-ablaton'; did you mean 'rbcn-ablation'\?"):
        paper_numbers("rbcn-ablaton")


@dataclass
class Result:
    """What the ablation hands over for one run."""

    column: str
    seed: int
    top1: float
    test_top1: float
    split: str = "holdout"
    n: int = 5000
    seconds: float = 90.0
    teacher_top1: float | None = 80.0


def ablation(widths: list[int], results: list[Result]) -> Table:
    recipe = SimpleNamespace(
        model=SimpleNamespace(name="resnet18", widths=widths),
        data=SimpleNamespace(dataset="cifar10"),
        training=SimpleNamespace(epochs=10),
        optimizer=SimpleNamespace(name="adam", lr=2e-3),
        schedule=SimpleNamespace(name="cosine"),
    )
    return ablation_table(recipe, results)  # ty: ignore[invalid-argument-type]


def test_the_paper_beside_ours() -> None:
    results = [
        Result("XNOR", 0, 49.0, 48.0),
        Result("Bi", 0, 50.0, 49.0),
        Result("Bi", 1, 51.0, 50.5),
        Result("R", 0, 52.0, 51.5),
        Result("R", 1, 53.0, 51.5),
    ]
    table = ablation([32, 32, 64, 128], results)
    cells = [[format_cell(cell, c.format) for cell, c in zip(row, table.columns, strict=True)] for row in table.rows]
    assert [row[:6] for row in cells] == [
        ["XNOR", "", "", "49.00 (n=1)", "-1.50", "48.00 (n=1)"],
        ["Bi", "54.92", "", "50.50 ± 0.71 (n=2)", "", "49.75 ± 1.06 (n=2)"],
        ["R", "56.54", "+1.62", "52.50 ± 0.71 (n=2)", "+2.00", "51.50 ± 0.00 (n=2)"],
    ]
    assert any("IJCAI 2019" in note for note in table.notes)


def test_widths_that_the_paper_does_not_have_leave_its_side_empty() -> None:
    table = ablation([8, 8, 16, 16], [Result("Bi", 0, 30.0, 30.0), Result("R", 0, 31.0, 31.0)])
    assert [row[1:3] for row in table.rows] == [(None, None), (None, None)]


def test_a_table_as_json() -> None:
    table = Table("t", ["a", Column("b", ".1f")], [("x", spread([1.0, 2.0])), (None, 1 / 3)], ["n"])
    assert json.loads(json.dumps(table.to_dict())) == {
        "title": "t",
        "columns": ["a", "b"],
        "rows": [["x", {"mean": 1.5, "std": math.sqrt(0.5), "n": 2}], [None, 1 / 3]],
        "notes": ["n"],
    }
