"""What fit_width refuses, and budgets without a bound; the widths it finds are tested with the structures."""

import math

import pytest

from onebit.accounting import fit_width
from onebit.errors import UsageError

SMALL = {"input_shape": (3, 32, 32), "num_classes": 10}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": None}, r"a budget is the name of a network, .* got None"),
        ({"budget": (1, 2, 3)}, r"got \(1, 2, 3\)"),
        ({"budget": ("a", 1)}, r"got \('a', 1\)"),
        ({"slack": "x"}, "slack is a share of the budget, 0 or more, got 'x'"),
        ({"slack": math.nan}, "got nan"),
        ({"input_shape": (3, 32)}, r"input_shape is \(C, H, W\), got \(3, 32\)"),
        ({"image_size": 64}, "'image_size' is no option of a model"),
    ],
)
def test_impossible_requests(arguments, message):
    with pytest.raises(UsageError, match=message):
        fit_width("lenet", **{"budget": "lenet", **SMALL, **arguments})


def test_without_a_bound_the_largest_width_is_taken():
    assert fit_width("lenet", (math.inf, math.inf), largest=20, **SMALL).width == 20
    assert fit_width("lenet", [math.inf, 1e5], largest=20, **SMALL).width < 20
