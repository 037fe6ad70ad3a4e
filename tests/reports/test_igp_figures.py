"""IGP's figures 1 and 2: the tables agree with the paper, the pictures hold what they should."""

import xml.etree.ElementTree as ElementTree

from onebit.reports.igp_figures import (
    PRINTED,
    igp_figure1_svg,
    igp_figure1_table,
    igp_figure2_svg,
    igp_figure2_table,
)


def words(svg):
    return " ".join(
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )


def test_all_six_statements_agree_with_what_the_blocks_give():
    table = igp_figure2_table()
    assert len(table.rows) == len(PRINTED) == 6
    agree = [column.name for column in table.columns].index("agree")
    assert [row[agree] for row in table.rows] == [True] * 6
    assert table.rows[0][:5] == ("ResNet", "2N^R (2)", "", "2N^R (2)", "")


def test_the_figure_of_paths_holds_six_panels():
    text = words(igp_figure2_svg())
    for letter, title in zip(
        "abcdef", ("ResNet", "Bi-Real", "EBi-Real", "IGP-ResNet", "BinaryDenseNet", "IGP-DenseNet"), strict=True
    ):
        assert f"({letter})\u2002{title}" in text
    assert text.count("3×3, ") == 14


def test_the_table_of_capability():
    values = [round(row[3], 1) for row in igp_figure1_table().rows]
    assert values == [6272.0, 51273.1, 51273.1, 102546.3, 51273.1]


def test_the_figure_of_capability_shows_claim_and_correction():
    text = words(igp_figure1_svg())
    assert "claimed by Bi-Real" in text
    assert "102,546 bit" in text
    assert text.count("51,273 bit") == 4
