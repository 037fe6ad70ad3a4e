"""The terms of the loss: task, kernel, adversarial, distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.errors import NonFiniteLossError
from onebit.nn import BinaryLayer


def kernel_penalty(model: nn.Module) -> Tensor | None:
    """The sum of every layer's own loss term (RBCN's kernel loss, Eq. 3), or None where no layer has one."""
    terms = [module.penalty() for module in model.modules() if isinstance(module, BinaryLayer)]
    present = [term for term in terms if term is not None]
    return torch.stack(present).sum() if present else None


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T^2 * KL(softmax(teacher / T) || softmax(student / T))``, batch mean (Hinton et al. 2015); logits (N, classes).

    >>> round(distillation_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]]), 4.0).item(), 6)
    0.0
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def check_finite(terms: dict[str, Tensor], epoch: int, step: int) -> None:
    """Stop at the first term that is NaN or infinite.

    Raises:
        NonFiniteLossError: naming the term, its value, the epoch and the step.
    """
    values = torch.stack([term.detach() for term in terms.values()])
    if bool(torch.isfinite(values).all()):
        return
    name, value = next((n, v) for n, v in zip(terms, values.tolist(), strict=True) if not abs(v) < float("inf"))
    raise NonFiniteLossError(
        f"the {name} loss became {value} in epoch {epoch}, step {step}; training stopped, {_kept(epoch)}. "
        "Lower the learning rate (optimizer.lr) or that term's weight and start a new run."
    )


def check_weights(model: nn.Module, epoch: int) -> None:
    """Stop before a network that holds NaN or infinity is measured and saved.

    Raises:
        NonFiniteLossError: naming the tensor and the epoch.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NonFiniteLossError(
                f"{name} holds NaN or infinity at the end of epoch {epoch}; training stopped, {_kept(epoch)}. "
                "Lower the learning rate (optimizer.lr, refresh.lr) and start a new run."
            )


def _kept(epoch: int) -> str:
    return f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "before its first checkpoint"


def gradient_norm(term: Tensor, parameters: list[nn.Parameter]) -> float:
    """The Euclidean norm of the term's gradient over the parameters; the graph is kept."""
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.stack([g.norm() for g in gradients if g is not None]).norm().item()
