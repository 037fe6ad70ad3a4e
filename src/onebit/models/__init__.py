"""The architectures, one file a family: how units are wired. Any method goes into any of them."""

from onebit.models import densenet, igp_densenet, igp_resnet, lenet, resnet, siamfc, wide_resnet
from onebit.models.binarize import binarize
from onebit.models.binarize_report import BinarizeReport, BinarizeWarning
from onebit.models.registry import MODELS, Tap, create_model, list_models, model_options, scale_options

__all__ = [
    "MODELS",
    "BinarizeReport",
    "BinarizeWarning",
    "Tap",
    "binarize",
    "create_model",
    "densenet",
    "igp_densenet",
    "igp_resnet",
    "lenet",
    "list_models",
    "model_options",
    "resnet",
    "scale_options",
    "siamfc",
    "wide_resnet",
]
