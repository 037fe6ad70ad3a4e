"""Architectures by name, and the one function that builds them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from onebit.errors import UsageError, unknown_name
from onebit.methods import get_method
from onebit.registry import Registry, checked_option


@dataclass(frozen=True)
class Tap:
    """A feature map that twin and student share: the output of ``module``, in stage ``stage``."""

    module: str
    stage: int


MODELS: Registry[Callable[..., nn.Module]] = Registry("model")
#: names of those that look for one image in another: they have no classes and take images of several sizes
TRACKERS: set[str] = set()


def check_widths(widths: Sequence[int], count: int | None, meaning: str) -> tuple[int, ...]:
    """The widths as a tuple.

    Raises:
        UsageError: unless they are ``count`` positive whole numbers (None: one or more); ``meaning`` says what they are,
            with an example.

    >>> check_widths([8, 16], 2, "two widths such as 32-64")
    (8, 16)
    """
    listed = isinstance(widths, Sequence) and not isinstance(widths, str) and len(widths) > 0
    wrong = not listed or any(type(width) is not int or width < 1 for width in widths)
    if wrong or (count is not None and len(widths) != count):
        raise UsageError(f"this network takes {meaning}, got {widths!r}")
    return tuple(widths)


def check_images(images: Tensor, channels: int) -> None:
    """Refuse a batch that is not (N, channels, H, W).

    Raises:
        UsageError: with both shapes.
    """
    if images.ndim != 4 or images.shape[1] != channels:
        raise UsageError(f"this network takes (N, {channels}, H, W) images, got {tuple(images.shape)}")


def list_models(pattern: str = "*", kind: Literal["classifier", "tracker", "any"] = "classifier") -> list[str]:
    """Names of the architectures that match a shell pattern: of classifiers, of trackers, or of both.

    >>> list_models("wrn*"), list_models(kind="tracker")
    (['wrn22', 'wrn40'], ['siamfc'])
    """
    kinds = {"classifier": (False,), "tracker": (True,), "any": (False, True)}
    if kind not in kinds:
        raise unknown_name("kind of model", kind, kinds)
    return [name for name in MODELS.names(pattern) if (name in TRACKERS) in kinds[kind]]


def model_options(name: str) -> dict[str, Any]:
    """The options that an architecture takes beyond the arguments of :func:`create_model`, with their defaults."""
    parameters = inspect.signature(MODELS[name]).parameters
    shared = {"method", "num_classes", "in_channels", "image_size"}
    return {key: p.default for key, p in parameters.items() if key not in shared}


def scale_options(name: str, width: int) -> dict[str, Any]:
    """The options that give an architecture another first width, everything else in proportion, as its own default has it.

    The width is the channels of the first stage; of wide residual networks the ``base_width``, of dense networks the ``growth``.

    Raises:
        UsageError: for a width below 1.

    >>> scale_options("igp_resnet37", 8), scale_options("binary_densenet51", 8)
    ({'widths': (8, 16, 32, 64)}, {'growth': 8})
    """
    if type(width) is not int or width < 1:
        raise UsageError(f"a width is a positive whole number, got {width!r}")
    defaults = model_options(name)
    for key in ("growth", "base_width"):
        if key in defaults:
            return {key: width}
    widths = defaults["widths"]
    return {"widths": tuple(max(1, round(width * each / widths[0])) for each in widths)}


def create_model(
    name: str,
    method: str = "rbcn",
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    image_size: int = 32,
    method_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Build an architecture with a method in it.

    Args:
        name: see :func:`list_models`.
        method: see :func:`onebit.list_methods`; ``"real"`` gives the full-precision twin.
        num_classes, in_channels: of the classifier and of the images.
        image_size: height and width of the images; it picks the stem (3x3 up to 64 pixels, 7x7 with pooling above).
            Trackers have neither classes nor one image size and do not read the two.
        method_options: options of the method, such as ``{"kernel_grad": "full"}``.
        options: of the architecture, such as ``widths=(32, 32, 64, 128)``.
    Returns:
        a module (N, in_channels, H, W) -> (N, num_classes) (a tracker: see its own) with ``taps``, the feature maps that
        twin and student share.
    Raises:
        UsageError: for unknown names and options (the nearest valid one is named), options of another type than their
            default, and impossible sizes.

    >>> create_model("resnet18", "bireal", widths=(32, 32, 64, 128)).taps[-1]
    Tap(module='stages.3.3', stage=3)
    """
    build = MODELS[name]
    valid = model_options(name)
    for key, value in options.items():
        if key not in valid:
            raise unknown_name(f"option of model {name!r}:", key, valid)
        options[key] = checked_option(f"option {key!r} of model {name!r}", value, valid[key])
    for label, value in (("num_classes", num_classes), ("in_channels", in_channels), ("image_size", image_size)):
        if type(value) is not int or value < 1:
            raise UsageError(f"{label} must be a positive whole number, got {value!r}")
    bound = get_method(method, **(method_options or {}))
    if name in TRACKERS:
        return build(bound, in_channels=in_channels, **options)
    return build(bound, num_classes=num_classes, in_channels=in_channels, image_size=image_size, **options)
