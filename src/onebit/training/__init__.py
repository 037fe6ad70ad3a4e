"""Training: recipes, the loop, the teacher and what it gives, checkpoints and metrics."""

from onebit.training.checkpoints import load_checkpoint, load_model
from onebit.training.evaluation import evaluate_model
from onebit.training.objective import list_objectives
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import list_recipes, load_recipe, recipe_from_dict, recipe_to_toml
from onebit.training.run import RunResult, evaluate, train

__all__ = [
    "Recipe",
    "RunResult",
    "evaluate",
    "evaluate_model",
    "list_objectives",
    "list_recipes",
    "load_checkpoint",
    "load_model",
    "load_recipe",
    "recipe_from_dict",
    "recipe_to_toml",
    "train",
]
