"""Methods by name: what a published method puts in place of a convolution and of a linear layer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from onebit.errors import UsageError, unknown_name
from onebit.registry import Registry, checked_option


@dataclass(frozen=True)
class Method:
    """A way to turn numbers into bits: the two layer classes, their options, and where it was published."""

    name: str
    conv_class: type[nn.Module]
    linear_class: type[nn.Module]
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def defaults(self) -> dict[str, Any]:
        """Every option that the method takes, with its default."""
        configure = getattr(self.conv_class, "configure", None)
        parameters = inspect.signature(configure).parameters if configure else {}
        return {name: p.default for name, p in parameters.items() if name != "self"}

    def with_options(self, options: Mapping[str, Any]) -> Method:
        """The same method with some options set.

        Raises:
            UsageError: for an option that the method does not take, naming the nearest that it does, and for a value of
                another type than the default's.
        """
        valid, checked = self.defaults(), dict(self.options)
        for name, value in options.items():
            if name not in valid:
                if not valid:
                    raise UsageError(f"method {self.name!r} takes no options, got {name!r}")
                raise unknown_name(f"option of method {self.name!r}:", name, valid)
            checked[name] = checked_option(f"option {name!r} of method {self.name!r}", value, valid[name])
        return Method(self.name, self.conv_class, self.linear_class, self.source, checked)

    def conv(self, in_channels: int, out_channels: int, kernel_size: int, **arguments: Any) -> nn.Module:
        """A convolution of this method; arguments as for torch.nn.Conv2d without bias."""
        return self.conv_class(in_channels, out_channels, kernel_size, **arguments, **self.options)

    def linear(self, in_features: int, out_features: int) -> nn.Module:
        """A linear layer of this method, without bias."""
        return self.linear_class(in_features, out_features, **self.options)


METHODS: Registry[Method] = Registry("method")


def get_method(method: str | Method, **options: Any) -> Method:
    """The method of that name (or the method itself) with the given options set.

    >>> get_method("rbcn", kernel_grad="full").options
    {'kernel_grad': 'full'}
    """
    return (METHODS[method] if isinstance(method, str) else method).with_options(options)


def list_methods(pattern: str = "*") -> list[str]:
    """Names of the methods that match a shell pattern.

    >>> "rbcn" in list_methods()
    True
    """
    return METHODS.names(pattern)
