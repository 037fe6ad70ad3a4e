"""The architectures, one file a family: how units are wired. Any method goes into any of them."""

from onebit.models import lenet, resnet, wide_resnet
from onebit.models.registry import MODELS, Tap, create_model, list_models, model_options

__all__ = ["MODELS", "Tap", "create_model", "lenet", "list_models", "model_options", "resnet", "wide_resnet"]
