"""onebit track train|run|evaluate|report: object tracking."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from onebit.errors import unknown_name

ACTIONS = {
    "train": "train a tracker by a recipe, on sequences with boxes and on still images",
    "run": "follow an object through a video, a folder of frames or a camera",
    "evaluate": "run a tracker on a benchmark, or score result files, and print the scores",
    "report": "tables, plots and film strips of evaluated trackers",
}

HELP = """usage: onebit track ACTION [arguments]

Object tracking with SiamFC and its 1-bit versions.

{actions}

`onebit track ACTION --help` explains an action. Example:  onebit track run video.mp4 --model runs/rb-sf-cpu --init 100,80,40,60
"""


def run(argv: Sequence[str]) -> int | None:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP.format(actions="\n".join(f"  {name:<9} {text}" for name, text in ACTIONS.items())))
        return 0 if argv else 2
    if argv[0] not in ACTIONS:
        raise unknown_name("track action", argv[0], ACTIONS)
    return importlib.import_module(f"onebit.cli.track_{argv[0]}").run(argv[1:])
