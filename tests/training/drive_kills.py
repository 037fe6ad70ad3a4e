"""Run in a process of its own by test_resume: train in forked children, SIGKILL each at a chosen moment, resume it.

Usage: python drive_kills.py RECIPE.toml FOLDER MOMENT...; prints nothing, fails loudly. FOLDER/whole is never killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any


def kill_now(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(function: Any, count: int) -> Any:
    """The function, which kills the process when it is called for the count-th time."""
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return kill_now() if calls == count else function(*arguments, **named)

    return counted


def arm(moment: str) -> None:
    """Put the kill where ``moment`` says; the recipe has 2 epochs for the teacher, 3 for the student, 4 steps each."""
    from onebit.training import fit, metrics, task

    if moment == "teacher-step":  # second epoch of the teacher
        fit.Fit._train_step = after(fit.Fit._train_step, 7)
    elif moment == "student-first-epoch":  # nothing of the student is saved yet
        fit.Fit._train_step = after(fit.Fit._train_step, 2 * 4 + 2)
    elif moment == "student-step":
        fit.Fit._train_step = after(fit.Fit._train_step, 2 * 4 + 4 + 3)
    elif moment == "refresh":
        fit.refresh_batch_norm = after(fit.refresh_batch_norm, 2)
    elif moment == "after-checkpoint":  # best.pt and last.pt of the student's first epoch stand, the second begins
        fit.Fit._run_epoch = after(fit.Fit._run_epoch, 2 + 2)
    elif moment == "in-checkpoint":  # the temporary file is written, the rename has not happened
        real, count = os.replace, 0

        def replace(source: Any, target: Any) -> None:
            nonlocal count
            count += str(target).endswith("last.pt")
            kill_now() if count == 2 + 2 else real(source, target)

        os.replace = replace
    elif moment == "torn-line":  # half of a line of metrics.jsonl
        write = metrics.MetricsLog.write

        def torn(self: metrics.MetricsLog, record: dict[str, Any]) -> None:
            if record.get("epoch") == 2 and "teacher" not in str(self.path):
                with self.path.open("a") as stream:
                    stream.write('{"event": "epoch", "epo')
                kill_now()
            write(self, record)

        metrics.MetricsLog.write = torn
    elif moment == "evaluation":  # everything trained, figures not yet written
        task.save_evaluation = after(task.save_evaluation, 2)
    else:
        raise SystemExit(f"no moment {moment}")


def main(recipe_file: str, folder: Path, moments: list[str]) -> None:
    import lightning_fabric  # noqa: F401  (once here instead of in every child)
    import torch

    from onebit.training import load_recipe, train

    torch.set_num_threads(1)
    recipe = load_recipe(recipe_file)

    def child(path: Path, resume: bool, moment: str | None) -> int:
        identity = os.fork()
        if identity == 0:
            if moment:
                arm(moment)
            train(recipe, run_dir=path, resume=resume, quiet=True)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(identity, 0)[1])

    assert child(folder / "whole", False, None) == 0
    for moment in moments:
        assert child(folder / moment, False, moment) == -signal.SIGKILL, f"{moment}: the kill did not happen"
        assert child(folder / moment, True, None) == 0, f"{moment}: resuming failed"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
