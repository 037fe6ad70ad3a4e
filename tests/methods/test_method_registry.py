"""Methods by name: options, defaults, and what a misspelling is told."""

import pytest

from onebit.errors import UsageError
from onebit.methods import METHODS, get_method, list_methods


def test_the_published_methods_are_there():
    assert {"real", "bnn", "xnor", "bireal", "pcnn", "abcnet", "rbcn"} <= set(list_methods())
    assert list_methods("b*") == [name for name in list_methods() if name.startswith("b")]


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_accepted_at_its_default(name):
    method = get_method(name)
    assert method.source
    assert get_method(name, **method.defaults()).conv(2, 2, 1) is not None
    assert get_method(method) == method


def test_options_add_up_and_reach_the_layer():
    method = get_method(get_method("rbcn", kernel_grad="full"), kernel_weight=0.5)
    for layer in (method.conv(2, 2, 3, padding=1), method.linear(4, 2)):
        assert (layer.kernel_grad, layer.kernel_weight) == ("full", 0.5)
    assert METHODS["rbcn"].options == {}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rbnc", {}, "unknown method 'rbnc'; did you mean 'rbcn'"),
        ("", {}, "unknown method ''; Valid: abcnet, bireal, bnn, pcnn, rbcn, real, xnor"),
        ("xnor", {"alpha_gard": 1}, "option of method 'xnor': 'alpha_gard'; did you mean 'alpha_grad'"),
        ("xnor", {"kernel_weight": 1}, "unknown option of method 'xnor'"),
        ("real", {"estimator": "clip"}, "method 'real' takes no options, got 'estimator'"),
    ],
)
def test_misspelt_names_get_the_nearest(name, options, message):
    with pytest.raises(UsageError, match=message):
        get_method(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "rbcn",
            {"keep_positive": "False"},
            "option 'keep_positive' of method 'rbcn' takes true or false, got 'False'",
        ),
        ("rbcn", {"keep_positive": 0}, "'keep_positive' of method 'rbcn' takes true or false, got 0"),
        ("xnor", {"input_scale": "true"}, "'input_scale' of method 'xnor' takes true or false, got 'true'"),
        ("rbcn", {"kernel_weight": "1e-4"}, "'kernel_weight' of method 'rbcn' takes a number, got '1e-4'"),
        ("rbcn", {"kernel_weight": True}, "takes a number, got True"),
        ("rbcn", {"kernel_weight": float("nan")}, "takes a finite number, got nan"),
        ("bireal", {"init_scale": float("inf")}, "takes a finite number, got inf"),
        ("bireal", {"estimator": 3}, "option 'estimator' of method 'bireal' takes text, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        get_method(name, **options)


@pytest.mark.parametrize("layer", ["conv", "linear"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_weight": -1}, "kernel_weight must be 0 or more, got -1"),
        ({"init_scale": 0}, "init_scale must be more than 0, got 0"),
        ({"init_scale": -0.1}, "init_scale must be more than 0, got -0.1"),
    ],
)
def test_a_number_that_cannot_be_is_refused(layer, options, message):
    method = get_method("rbcn", **options)
    with pytest.raises(UsageError, match=message):
        method.conv(2, 2, 1) if layer == "conv" else method.linear(2, 2)


def test_a_whole_number_does_for_a_number():
    assert get_method("rbcn", kernel_weight=1).conv(2, 2, 1).kernel_weight == 1
