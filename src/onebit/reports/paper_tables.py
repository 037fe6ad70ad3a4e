"""The papers' tables of accuracies with our runs beside them; an empty cell is a network that nobody trained here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onebit.reports.found_runs import Found, Repeats
from onebit.reports.paper import PaperTable, paper_numbers
from onebit.reports.paper_costs import CONVENTION_NOTE, EFFICIENCY_BUILDS, IGP_BUILDS, Build, count, verdict
from onebit.reports.reproduction import Reproduction
from onebit.reports.subjects import Subject
from onebit.reports.summary_stats import Spread
from onebit.reports.table import Column, Table
from onebit.reports.training_commands import training_command

_ASIDE = ("what was run", "remark")
_TWIN = "ours is the twin of the binary network, with a shortcut per convolution"
_QUOTED = "quoted by the paper; method not part of this package"
#: recipe keys for the networks of the IGP table: Bi-Real's released settings, for those of the paper are not known
IGP_SETTINGS = {
    "optimizer.name": "adam",
    "optimizer.lr": "1e-3",
    "optimizer.weight-decay": "0",
    "schedule.name": "linear",
    "data.batch-size": "512",
    "training.epochs": "256",
    "training.label-smoothing": "0.1",
}


def cifar_table(found: Found) -> Reproduction:
    """RBCN's comparison on CIFAR: a line per network and data set; further methods get one where they were run."""
    paper = paper_numbers("rbcn-cifar")
    lines: list[tuple[str, str, Subject]] = []
    for data in paper.columns:
        lines += [(row, data, _cifar_subject(row, data)) for row in paper.rows]
    named = {subject for _, _, subject in lines}
    structures = {(subject.network, subject.widths) for subject in named}
    extra = [s for s in found.repeats if (s.network, s.widths) in structures and s.data in paper.columns]
    lines += [(_cifar_row(subject), subject.data, subject) for subject in extra if subject not in named]
    rows: list[list[object]] = []
    for row, data, subject in lines:
        printed, remark = paper.values.get((row, data)), paper.remarks.get(row) if data == "CIFAR-10" else None
        for repeats in found.of(subject) or [None]:
            ours = None if repeats is None else repeats.score("top1")
            rows.append([row, data, printed, ours, _run(repeats), remark])
    columns = ["network", "data", Column("paper, top-1 (%)", ".2f", "right"), Column("ours, top-1 (%)", ".2f", "right")]
    table = Table(
        paper.title,
        [*columns, "what was run", "remark"],
        rows,
        [*_notes(paper), *_missing(found, [(f"{row}, {data}", subject) for row, data, subject in lines])],
    )
    return Reproduction(paper.name, table, _ASIDE, ("ours, top-1 (%)",))


def _cifar_subject(row: str, data: str) -> Subject:
    method, _, structure = row.partition(", ")
    network, widths = structure.split()
    return Subject(data, network.lower(), tuple(map(int, widths.split("-"))), method)


def _cifar_row(subject: Subject) -> str:
    network = subject.network.replace("resnet", "ResNet").replace("wrn", "WRN")
    return f"{subject.method}, {network} {'-'.join(map(str, subject.widths))}"


def imagenet_table(found: Found) -> Reproduction:
    """RBCN's comparison on ImageNet: ResNet18 with seven methods, top-1 and top-5."""
    paper = paper_numbers("rbcn-imagenet")
    subjects = {row: Subject("ImageNet", "resnet18", (64, 128, 256, 512), row) for row in paper.rows}
    rows: list[list[object]] = []
    for row, subject in subjects.items():
        top1, top5 = (paper.values.get((row, column)) for column in paper.columns)
        remark = _TWIN if row == "full precision" else paper.remarks.get(row)
        for repeats in found.of(subject) or [None]:
            ours = [None if repeats is None else repeats.score(name) for name in ("top1", "top5")]
            rows.append([row, top1, ours[0], top5, ours[1], _run(repeats), remark])
    columns = [
        Column("network"),
        Column("paper, top-1 (%)", ".1f"),
        Column("ours, top-1 (%)", ".1f", "right"),
        Column("paper, top-5 (%)", ".1f"),
        Column("ours, top-5 (%)", ".1f", "right"),
        Column("what was run"),
        Column("remark"),
    ]
    table = Table(paper.title, columns, rows, [*_notes(paper), *_missing(found, subjects.items())])
    return Reproduction(paper.name, table, _ASIDE, ("ours, top-1 (%)", "ours, top-5 (%)"))


def igp_table(found: Found) -> Reproduction:
    """IGP's comparison on ImageNet: storage and computation, counted here, and errors."""
    paper = paper_numbers("igp-table1")
    errors = paper.columns[2:]
    subjects: dict[str, Subject] = {}
    rows: list[list[object]] = []
    for row in paper.rows:
        printed = [paper.values.get((row, column)) for column in paper.columns]
        for build in IGP_BUILDS.get(row, (None,)):
            name = f"{row}, {build.variant}" if build is not None and build.variant else row
            subject = None if build is None else build.subject()
            if subject is not None:
                subjects[name] = subject
            storage, computation, told, convention, reason = _counted(build, printed[0], printed[1])
            for repeats in found.of(subject) or [None]:
                top1, top5 = (_error(repeats, score) for score in ("top1", "top5"))
                line = [name, printed[0], storage, printed[1], computation, told, printed[2], top1, printed[3], top5]
                rows.append([*line, convention, _run(repeats), reason, paper.remarks.get(row)])
    columns = [
        Column("network"),
        Column("paper, Mbit", ".1f"),
        Column("ours, Mbit", ".3f"),
        Column("paper, 1e9", ".2f"),
        Column("ours, 1e9", ".4f"),
        Column("cost"),
    ]
    for error in errors:
        columns += [Column(f"paper, {error}", ".2f", "right"), Column(f"ours, {error}", ".2f", "right")]
    columns += [Column(name) for name in ("convention", *_ASIDE, "published as")]
    rule = (
        "Ours, costs: 224x224 images, 1000 classes. Mbit: 32 bit a real number and 1 bit a binary one. "
        "1e9: real multiplications and binary ones divided by 64 (by 32 with ternary inputs). " + CONVENTION_NOTE
    )
    notes = [*_notes(paper), rule, *_missing(found, subjects.items(), IGP_SETTINGS)]
    table = Table(paper.title, columns, rows, notes)
    return Reproduction(paper.name, table, _ASIDE, tuple(f"ours, {error}" for error in errors), ("published as",))


def _counted(build: Build | None, storage: float | None, computation: float | None) -> tuple[object, ...]:
    """Our storage and computation, the verdict on them, the convention, the reason; a row that is quoted has the last alone."""
    if build is None:
        return None, None, None, None, _QUOTED
    cost = count(build)
    told = verdict([("storage", cost.storage, storage, ".1f"), ("computation", cost.computation, computation, ".2f")])
    if told is not None and build.fitted:
        told = f"{told}, fitted"
    return cost.storage, cost.computation, told, build.convention, build.reason


def efficiency_table() -> Reproduction:
    """RBCN's efficiency table: storage, saving and multiplications of ResNet18, counted here by several conventions."""
    paper = paper_numbers("rbcn-efficiency")
    whole = count(EFFICIENCY_BUILDS["full precision"][0])
    rows: list[list[object]] = []
    for row in paper.rows:
        storage, saving, computation = (paper.values.get((row, column)) for column in paper.columns)
        for build in EFFICIENCY_BUILDS[row]:
            cost = count(build)
            saved = None if row == "full precision" else whole.storage / cost.storage
            quantities = [
                ("storage", cost.storage, storage, ".1f"),
                ("multiplications", cost.computation, computation, ".3g"),
            ]
            line = [row, build.convention, storage, cost.storage, saving, saved, computation, cost.computation]
            rows.append([*line, verdict(quantities), build.reason])
    columns = [Column("network"), Column("convention")]
    for name, ours in zip(paper.columns, (".3f", ".2f", ".4f"), strict=True):
        columns += [Column(f"paper, {name}", paper.format(name)), Column(f"ours, {name}", ours)]
    notes = [f"Paper: {paper.source}.", *paper.notes, CONVENTION_NOTE]
    return Reproduction(
        paper.name, Table(paper.title, [*columns, Column("cost"), Column("remark")], rows, notes), ("remark",)
    )


def _error(repeats: Repeats | None, score: str) -> Spread | None:
    accuracy = None if repeats is None else repeats.score(score)
    return None if accuracy is None else Spread(100 - accuracy.mean, accuracy.std, accuracy.n)


def _run(repeats: Repeats | None) -> str | None:
    return None if repeats is None else repeats.description()


def _notes(paper: PaperTable) -> list[str]:
    ours = "Ours: final weights on the test images, mean ± sample standard deviation over seeds; empty: not run."
    return [f"Paper: {paper.source}.", ours, *paper.notes]


def _missing(
    found: Found, subjects: Iterable[tuple[str, Subject]], settings: Mapping[str, str] | None = None
) -> list[str]:
    """What was searched; what was not found and how to train it, one line each; runs that could not be read."""
    wanted = dict(subjects)
    used = sum(len(repeats.runs) for subject in set(wanted.values()) for repeats in found.of(subject))
    searched = f"Searched: {', '.join(found.folders)}; finished runs: {found.total}, of them in this table: {used}."
    missing = [
        f"To train {row}: {training_command(subject, settings)}"
        for row, subject in wanted.items()
        if not found.of(subject)
    ]
    return [searched, *found.problems, *missing]
