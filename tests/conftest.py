"""What every test runs under: one thread, and Hypothesis draws that are the same on every machine."""

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile(
    "onebit",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=30,
    # A busy machine is no failure.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("onebit")

# Doctests are looked for in every Python file; several files called conftest cannot be imported for that.
collect_ignore_glob = ["*conftest.py"]
