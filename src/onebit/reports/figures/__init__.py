"""The report's figures, in the order in which the page shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from onebit.reports.figures import curves, predictions, weights
from onebit.reports.figures.style import inline, styled, svg_text, theme_css
from onebit.reports.records import Run

__all__ = ["FIGURES", "Drawing", "FigureKind", "draw", "inline", "theme_css"]


@dataclass(frozen=True)
class FigureKind:
    """A figure that a run may have: file name, section of the page, title, and one line on how to read it."""

    name: str
    section: str
    title: str
    caption: str
    draw: Callable[[Run], Figure | None]


@dataclass(frozen=True)
class Drawing:
    """A figure that this run does have, as the text of an SVG file."""

    kind: FigureKind
    svg: str


FIGURES = (
    FigureKind(
        "loss",
        "Learning",
        "Loss",
        "Solid lines that turn up while dashed ones fall mean overfitting; extra terms add to the training loss.",
        curves.loss,
    ),
    FigureKind(
        "loss-terms",
        "Learning",
        "Loss terms",
        "What the training loss is made of: a term that falls while the task term rises costs more than it gives.",
        curves.terms,
    ),
    FigureKind(
        "accuracy",
        "Learning",
        "Accuracy",
        "The gap between the solid lines is the price of one bit; a circle is where the batch-norm refresh began.",
        curves.accuracy,
    ),
    FigureKind(
        "learning-rates",
        "Learning",
        "Learning rates",
        "Rate of each group of parameters in each epoch; where it steps, the other curves step too.",
        curves.rates,
    ),
    FigureKind(
        "discriminators",
        "Rectification",
        "Discriminators",
        "At 50 % a discriminator cannot tell student from teacher; near 100 % it has won, and its gradient fades away.",
        curves.discriminators,
    ),
    FigureKind(
        "adversarial",
        "Rectification",
        "Adversarial pressure",
        "The ratio compares gradients on the binary weights: at 0.01 the term is hardly felt, at 1 it fights the task.",
        curves.adversarial,
    ),
    FigureKind(
        "matrices",
        "Rectification",
        "Learnable scale C",
        "Entries should stay above zero: a negative mean would turn round every sign of its layer.",
        curves.matrix,
    ),
    FigureKind(
        "flips",
        "Weights",
        "Weights that flip",
        "Share of signs that changed over the epoch: high at first, near zero at the end; 50 % would be chance.",
        weights.flips,
    ),
    FigureKind(
        "weights-after-sign",
        "Weights",
        "Weights after sign",
        "All that is left of each layer: ±C, or ±α per filter, and how the weights divide between the two signs.",
        weights.levels,
    ),
    FigureKind(
        "weights-before-sign",
        "Weights",
        "Weights before sign",
        "Histogram of the latent weights of each layer: left of zero they become −1, right of it +1.",
        weights.histograms,
    ),
    FigureKind(
        "confusion",
        "Predictions",
        "Confusion matrix",
        "Each row is one true class and adds up to 100 %; what is off the diagonal was taken for the column's class.",
        predictions.confusion,
    ),
    FigureKind(
        "examples-right",
        "Predictions",
        "Right answers",
        "Below each image the predicted class, which is the true one, and its probability.",
        predictions.right_examples,
    ),
    FigureKind(
        "examples-wrong",
        "Predictions",
        "Wrong answers",
        "Above each image its true class; below it the wrong answer and the probability that the network gave it.",
        predictions.wrong_examples,
    ),
)


def draw(run: Run) -> list[Drawing]:
    """Every figure for which the run has data."""
    drawings = []
    with styled():
        for kind in FIGURES:
            figure = kind.draw(run)
            if figure is not None:
                drawings.append(Drawing(kind, svg_text(figure)))
    return drawings
