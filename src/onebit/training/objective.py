"""The terms of the loss: the layers' own, and what a student can be given to take from its teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.errors import NonFiniteLossError
from onebit.nn import BinaryLayer
from onebit.registry import Registry

#: what a student may take from its teacher in each step: the recipe's table of that name switches it on
OBJECTIVES: Registry[str] = Registry("objective")
OBJECTIVES.add("adversarial", "discriminators on the feature maps (Liu et al., RBCN, ICCV 2019)")
OBJECTIVES.add(
    "apprentice", "a teacher trained jointly, its answers as labels (Mishra and Marr, Apprentice, ICLR 2018)"
)
OBJECTIVES.add("distillation", "softened logits (Hinton et al., 2015)")
OBJECTIVES.add(
    "features", "feature maps (Romero et al., FitNets, ICLR 2015; attention: Zagoruyko and Komodakis, ICLR 2017)"
)


def list_objectives(pattern: str = "*") -> list[str]:
    """Names of the objectives that match a shell pattern.

    >>> list_objectives()
    ['adversarial', 'apprentice', 'distillation', 'features']
    """
    return OBJECTIVES.names(pattern)


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


def answer_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """``CE(softmax(teacher), softmax(student)) = -sum_k softmax(teacher)_k * log softmax(student)_k``, batch mean.

    The third term of Apprentice (Mishra and Marr 2018, Eq. 1): the teacher's answers are the labels. Logits (N, classes).

    Gradient:
        to the student: ``(softmax(student) - softmax(teacher)) / N``. To the teacher, unless its logits are detached:
        ``-p_k * (l_k - sum_j p_j * l_j) / N``, p = softmax(teacher), l = log softmax(student).

    >>> teacher = torch.tensor([[2.0, 0.0]])
    >>> round(answer_loss(torch.tensor([[0.0, 0.0]]), teacher).item(), 4), round(answer_loss(teacher, teacher).item(), 4)
    (0.6931, 0.3653)
    """
    return F.cross_entropy(student, teacher.softmax(1))


def feature_loss(student: Tensor, teacher: Tensor, kind: str = "maps", normalize: bool = True) -> Tensor:
    """How far one feature map of the student is from its teacher's.

    ``maps``: ``mean((S - T)^2)`` over images, channels and positions (Romero et al. 2015, without a regressor between).
    ``attention``: batch mean of ``||a(S) - a(T)||^2``, ``a(M) = e / ||e||``, ``e = sum_c M_c^2`` at each position
    (Zagoruyko and Komodakis 2017); where there is a single position, or none, the squared features take their place.
    With ``normalize``, S and T first get zero mean and unit variance per channel, over the batch.

    Shapes:
        two times (N, C, H, W) or (N, F) -> ()
    Gradient:
        to both, as given: detach the teacher's.

    >>> student, teacher = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    >>> feature_loss(student, teacher, normalize=False).item()
    2.0
    """
    maps = [m.float() if m.dtype in (torch.bfloat16, torch.float16) else m for m in (student, teacher)]
    if normalize:
        maps = [normalize_channels(m) for m in maps]
    if kind == "maps":
        return (maps[0] - maps[1]).square().mean()
    mine, its = (F.normalize(_energy(m), dim=1) for m in maps)
    return (mine - its).square().sum(1).mean()


def _energy(maps: Tensor) -> Tensor:
    squares = maps.square()
    return squares.sum(1).flatten(1) if squares[0, 0].numel() > 1 else squares.flatten(1)


def normalize_channels(maps: Tensor) -> Tensor:
    """Zero mean and unit variance per channel over the batch; a single image comes back as it is. (N, C, ...) -> same."""
    return F.batch_norm(maps, None, None, training=True) if len(maps) > 1 else maps


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


def check_weights(model: nn.Module, epoch: int, whose: str = "") -> None:
    """Stop before a network that holds NaN or infinity is measured and saved; ``whose`` goes before the tensor's name.

    Raises:
        NonFiniteLossError: naming the tensor and the epoch.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NonFiniteLossError(
                f"{whose}{name} holds NaN or infinity at the end of epoch {epoch}; training stopped, {_kept(epoch)}. "
                "Lower the learning rate (optimizer.lr, refresh.lr) and start a new run."
            )


def _kept(epoch: int) -> str:
    return f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "before its first checkpoint"


def gradient_norm(term: Tensor, parameters: list[nn.Parameter]) -> float:
    """The Euclidean norm of the term's gradient over the parameters; the graph is kept."""
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.stack([g.norm() for g in gradients if g is not None]).norm().item()
