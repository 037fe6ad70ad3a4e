"""The papers' printed numbers, as data, to stand beside ours: one file a paper."""

from onebit.reports.paper import igp, rbcn
from onebit.reports.paper.printed import PAPERS, PaperTable, paper_numbers

__all__ = ["PAPERS", "PaperTable", "igp", "paper_numbers", "rbcn"]
