"""Tables, the papers' numbers, and the HTML report of a run."""

from onebit.reports.page import write_report
from onebit.reports.paper import PaperTable, paper_numbers
from onebit.reports.reproduce import list_reproductions, reproduce
from onebit.reports.reproduction import Reproduction
from onebit.reports.run_files import read_run
from onebit.reports.summary_stats import Spread, spread
from onebit.reports.table import Column, Table, format_cell

__all__ = [
    "Column",
    "PaperTable",
    "Reproduction",
    "Spread",
    "Table",
    "format_cell",
    "list_reproductions",
    "paper_numbers",
    "read_run",
    "reproduce",
    "spread",
    "write_report",
]
