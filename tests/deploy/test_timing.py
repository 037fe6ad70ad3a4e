"""Rounds, ratios and processes of the timing; what the peers are given to run."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deploy.hand_made import residual
from onebit.deploy.file import write_program
from onebit.deploy.packed_model import load
from onebit.deploy.peers import contenders, images_for, installed_peers, quantise_onnx
from onebit.deploy.timing import Contender, Timing, measure
from onebit.errors import OnebitError, UsageError
from onebit.reports.speed import speed_figure, speed_json, speed_table


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process imports this module by its name to find what it is to run; it gets this one's path."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def _spin(seconds: float, threads: int):
    def run() -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return run


def _sleep(seconds: float, threads: int):
    return partial(time.sleep, seconds * threads)


def _fail(message: str, threads: int):
    raise ValueError(message)


def test_rounds_are_interleaved_and_ratios_those_of_the_work() -> None:
    order: list[str] = []

    def open_it(name: str, seconds: float, threads: int):
        call = _spin(seconds, threads)

        def run() -> None:
            if order[-1:] != [name]:
                order.append(name)
            call()

        return run

    rivals = [Contender(n, "work", partial(open_it, n, s)) for n, s in (("one", 0.002), ("three", 0.006))]
    one, three = measure(rivals, rounds=5, seconds=0.01)
    assert (one.engine, one.model, len(one.rounds), len(three.rounds)) == ("one", "work", 5, 5)
    assert np.median(three.ratios(one)) == pytest.approx(3, rel=0.2)
    assert len(order) >= 8
    assert one.percentile(10) <= one.percentile(50) <= one.percentile(90)


def test_several_threads_run_in_processes_of_their_own_by_the_wall_clock() -> None:
    rivals = [Contender("short", "", partial(_sleep, 0.005)), Contender("long", "", partial(_sleep, 0.015))]
    short, long = measure(rivals, threads=2, rounds=2, seconds=0.01)
    assert short.percentile(50) >= 10  # opened with two threads: twice 5 ms
    assert np.median(long.ratios(short)) == pytest.approx(3, rel=0.5)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_fails_is_named(threads: int) -> None:
    kind, message = (
        (ValueError, "no such thing") if threads == 1 else (OnebitError, "broken failed: ValueError: no such thing")
    )
    with pytest.raises(kind, match=message):
        measure([Contender("broken", "", partial(_fail, "no such thing"))], threads, 1)


@pytest.mark.parametrize(("threads", "rounds"), [(0, 3), (1, 0)])
def test_impossible_numbers_are_refused(threads: int, rounds: int) -> None:
    with pytest.raises(UsageError, match=f"1 or more, got {threads} and {rounds}"):
        measure([], threads, rounds)


def test_torch_keeps_its_number_of_threads() -> None:
    import torch

    before = torch.get_num_threads()
    measure([Contender("nothing", "", partial(_spin, 0.0))], rounds=1, seconds=0.001)
    assert torch.get_num_threads() == before


def test_our_own_engine_comes_first_and_every_peer_runs() -> None:
    packed = load(write_program(residual()), kernel="python")
    peers = installed_peers()
    found = contenders(packed, peers, name="small")
    assert found[0].engine == "onebit python"
    assert len(found) == 1 + sum({"torch": 1, "onnxruntime": 2, "openvino": 2}[peer] for peer in peers)
    for contender in found:
        contender.open(1)()


def test_int8_answers_are_near_those_of_float() -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onebit.deploy.export_onnx import to_onnx
    from onebit.deploy.float_twin import float_twin

    twin = float_twin(residual())
    images = images_for(twin, 16, seed=3)
    model = to_onnx(twin)
    answers = []
    for each in (model, quantise_onnx(model, images)):
        kinds = {node.op_type for node in each.graph.node}
        answers.append(runtime.InferenceSession(each.SerializeToString()).run(None, {"images": images})[0])
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert np.corrcoef(answers[0].ravel(), answers[1].ravel())[0, 1] > 0.98


def test_figures_of_the_times() -> None:
    timings = [Timing("ours", "net, 1-bit", (1.0, 2.0, 3.0)), Timing("theirs", "net, float", (4.0, 4.0, 6.0))]
    rows = speed_json(timings, 2)["rows"]
    assert rows[1] == {
        "engine": "theirs", "model": "net, float", "median_ms": 4.0, "p10_ms": 4.0, "p90_ms": 5.6, "ratio": 2.0,
    }  # fmt: skip
    table = speed_table(timings, 2)
    assert table.rows[1][-3:] == pytest.approx((2.0, 2.0, 3.6))
    assert "wall time" in table.notes[0]
    drawn = speed_figure(timings, "svg").decode()
    for text in ("ours", "net, float", "2 ms", "4 ms   2.0x", "milliseconds an image"):
        assert text in drawn
