"""What a run ran on, for its environment.json."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from onebit.training.metrics import now


def environment(fabric: Any) -> dict[str, Any]:
    """What the run ran on."""
    import onebit

    return {
        "onebit": onebit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "processes": fabric.world_size,
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else str(fabric.device),
        "git": _commit(),
        "started": now(),
        "command": " ".join(sys.argv),
    }


def processor_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    """The commit of this package's own repository, or None when it was installed from a wheel."""
    here = Path(__file__).resolve()
    command = ["git", "-C", str(here.parent), "rev-parse", "--show-toplevel", "--short", "HEAD"]
    try:
        top, commit = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.split(
            "\n"
        )[:2]
        return commit if here.is_relative_to(Path(top) / "src" / "onebit") else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
