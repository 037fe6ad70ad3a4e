"""The state of a training loop in a checkpoint: all that a run needs to go on as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onebit.errors import CheckpointError, UsageError
from onebit.training.checkpoints import load_checkpoint, load_weights, resume_check, save_checkpoint
from onebit.training.recipe_files import recipe_to_dict

if TYPE_CHECKING:
    from onebit.training.fit import Fit


def save_fit(fit: Fit, improved: bool) -> None:
    """Write the loop's state as last.pt; before that as best.pt if it is the best, and the network alone if it is to be kept."""
    state = {
        "recipe": recipe_to_dict(fit.recipe),
        "data": fit.data,
        "epoch": fit.epoch,
        "seconds": fit.seconds,
        "best": fit.best,
        "model": fit.model.state_dict(),
        "ema": fit.average.state if fit.average is not None else None,
        "optimizer": fit.optimizer.optimizer.state_dict(),
        "guidance": fit.guidance.state_dict() if fit.guidance is not None else {},
        "teacher": fit.joint.state_dict() if fit.joint is not None else None,
        "scaler": fit.scaler.state_dict() if fit.scaler is not None else None,
    }
    folder = fit.folder / "checkpoints"
    if (every := fit.recipe.training.keep_every) and fit.epoch % every == 0:
        save_checkpoint(folder / f"epoch-{fit.epoch:03}.pt", {**state, "optimizer": None, "guidance": {}})
    if improved:
        save_checkpoint(folder / "best.pt", state)
    save_checkpoint(folder / "last.pt", state)


def resume_fit(fit: Fit, path: Path) -> None:
    """Bring a loop to where the checkpoint stands.

    Raises:
        CheckpointError: if it cannot be read, does not fit, or is of a teacher that trained beside its student.
        UsageError: if it is of another recipe, or beyond this one's last epoch.
    """
    state = load_checkpoint(path)
    resume_check(state, fit.recipe, path)
    if state["epoch"] > fit.epochs:
        raise UsageError(f"{path} stands at epoch {state['epoch']}, beyond the recipe's {fit.epochs}")
    if state["optimizer"] is None:
        raise CheckpointError(f"{path} is of a joint teacher, which cannot go on alone; resume its student's run")
    load_weights(fit.model, state["model"], str(path))
    fit.optimizer.optimizer.load_state_dict(state["optimizer"])
    if fit.joint is not None:
        fit.joint.load_state_dict(state["teacher"], str(path))
    if fit.scaler is not None and state.get("scaler"):
        fit.scaler.load_state_dict(state["scaler"])
    if fit.average is not None:
        fit.average.state = {k: v.to(fit.fabric.device) for k, v in state["ema"].items()}
    if fit.guidance is not None:
        fit.guidance.load_state_dict(state["guidance"])
    fit.epoch, fit.seconds, fit.best = state["epoch"], state["seconds"], state["best"]
