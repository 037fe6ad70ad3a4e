"""Timing engines against each other: interleaved rounds, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from onebit.errors import OnebitError, UsageError

Call = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """An engine with a network in it. ``open(threads)`` makes it ready and returns one inference as a function.

    With several threads every contender runs in a process of its own, so that ``open`` has to be picklable: a function of a module,
    or a ``functools.partial`` of one.
    """

    engine: str
    model: str
    open: Callable[[int], Call]


@dataclass(frozen=True)
class Timing:
    """Milliseconds an inference took, a number for every round."""

    engine: str
    model: str
    rounds: tuple[float, ...]

    def percentile(self, q: float) -> float:
        """The time that ``q`` percent of the rounds stay below.

        >>> Timing("a", "b", (1.0, 2.0, 4.0)).percentile(50)
        2.0
        """
        return float(np.percentile(self.rounds, q))

    def ratios(self, base: Timing) -> np.ndarray:
        """How many times the time of ``base`` this took, round by round."""
        return np.array(self.rounds) / np.array(base.rounds)


def measure(contenders: Sequence[Contender], threads: int = 1, rounds: int = 15, seconds: float = 0.03) -> list[Timing]:
    """Time all contenders in turn, ``rounds`` times, after a warm-up.

    With one thread all share this process and its processor time is what counts, which other work on the machine hardly
    changes. With more, every contender has a process of its own, for the thread pools of several engines in one disturb each
    other, and wall time counts.

    Args:
        seconds: how long a contender runs in a round, at least one inference.
    Raises:
        UsageError: for fewer than 1 thread or round. OnebitError: if a contender fails.
    """
    if threads < 1 or rounds < 1:
        raise UsageError(f"threads and rounds are 1 or more, got {threads} and {rounds}")
    with contextlib.ExitStack() as stack:
        runners = [stack.enter_context(_here(c) if threads == 1 else _apart(c, threads)) for c in contenders]
        counts = [max(1, math.ceil(seconds / max(runner(3), 1e-7))) for runner in runners]
        # The order turns from round to round: nobody always runs behind the same one.
        taken: list[list[float]] = [[] for _ in runners]
        for turn in range(rounds):
            for i in range(len(runners)):
                which = (i + turn) % len(runners)
                taken[which].append(1e3 * runners[which](counts[which]))
    return [Timing(c.engine, c.model, tuple(times)) for c, times in zip(contenders, taken, strict=True)]


Runner = Callable[[int], float]


@contextlib.contextmanager
def _here(contender: Contender) -> Generator[Runner]:
    import torch

    before = torch.get_num_threads()
    call = contender.open(1)

    def run(count: int) -> float:
        torch.set_num_threads(1)
        return _seconds(call, count, time.process_time)

    try:
        yield run
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _apart(contender: Contender, threads: int) -> Generator[Runner]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, contender, threads), daemon=True)
    process.start()
    theirs.close()

    def run(count: int) -> float:
        try:
            ours.send(count)
            answer = ours.recv()
        except (EOFError, ConnectionError):
            raise OnebitError(f"the process that timed {contender.engine} died; is there enough memory?") from None
        if isinstance(answer, str):
            raise OnebitError(f"{contender.engine} failed: {answer}")
        return answer

    try:
        yield run
    finally:
        ours.close()
        process.join(10)
        process.kill()


def _serve(pipe: Connection, contender: Contender, threads: int) -> None:
    call: Any = None
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            count = pipe.recv()
            try:
                call = call or contender.open(threads)
                pipe.send(_seconds(call, count, time.perf_counter))
            except Exception as error:
                pipe.send(f"{type(error).__name__}: {error}")


def _seconds(call: Call, count: int, clock: Callable[[], float]) -> float:
    """Of one inference, after one that brings the caches back: the median of up to 9 groups of calls, ``count`` in all."""
    call()
    groups = min(count, 9)
    size = count // groups
    taken = []
    for _ in range(groups):
        start = clock()
        for _ in range(size):
            call()
        taken.append((clock() - start) / size)
    return float(np.median(taken))
