import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onebit.data.pickles import read_pickle
from onebit.errors import DataError

GOOD = pickle.dumps({b"data": np.arange(12, dtype=np.uint8).reshape(3, 4), b"labels": [1, 2]}, protocol=2)


def test_a_good_one_comes_back_with_text_keys() -> None:
    content = read_pickle(Path("batch"), GOOD)
    assert np.array_equal(content["data"], np.arange(12).reshape(3, 4))
    assert content["labels"] == [1, 2]


def test_fortran_order_is_kept() -> None:
    array = np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert np.array_equal(read_pickle(Path("batch"), pickle.dumps({"data": array}, protocol=2))["data"], array)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "executed"
    with pytest.raises(DataError, match=r"batch is not a readable CIFAR pickle: it names posix\.mkdir|nt\.mkdir"):
        read_pickle(Path("batch"), pickle.dumps({"data": Evil(marker)}, protocol=protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["builtins eval", "numpy load", "numpy.core.multiarray fromfile", "onebit.errors DataError"]
)
def test_names_outside_the_list_are_refused(name: str) -> None:
    module, attribute = name.split()
    with pytest.raises(DataError, match=f"names {module}.{attribute}"):
        read_pickle(Path("batch"), f"c{module}\n{attribute}\n.".encode())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "holds a list"),
        ({"data": np.zeros(3)}, "'f8'"),
        ({"data": np.array([None, 1], dtype=object)}, "'O8'|not of unsigned bytes"),
    ],
)
def test_other_contents_are_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pickle(Path("batch"), pickle.dumps(value, protocol=2))


@given(st.integers(0, len(GOOD) - 1))
def test_every_truncation_is_one_error(length: int) -> None:
    with pytest.raises(DataError, match="batch is not a readable CIFAR pickle"):
        read_pickle(Path("batch"), GOOD[:length])


@given(st.binary(max_size=60))
def test_any_bytes_give_a_dictionary_or_one_error(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert isinstance(read_pickle(Path("batch"), data), dict)
