"""The architectures, one file a family: how units are wired. Any method goes into any of them."""

from onebit.models import densenet, igp_densenet, igp_resnet, lenet, resnet, wide_resnet
from onebit.models.registry import MODELS, Tap, create_model, list_models, model_options, scale_options

__all__ = [
    "MODELS",
    "Tap",
    "create_model",
    "densenet",
    "igp_densenet",
    "igp_resnet",
    "lenet",
    "list_models",
    "model_options",
    "resnet",
    "scale_options",
    "wide_resnet",
]
