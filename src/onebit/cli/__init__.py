"""The `onebit` command: one file per command, arguments in, library call, result out."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": "train a teacher and its 1-bit twin on the shipped digits, and show what was gained and lost",
    "list": "name the models, methods, recipes and data sets",
    "train": "train by a recipe",
    "evaluate": "measure a trained network on a split of its data",
    "report": "draw the report page of a run",
    "summary": "what a network costs: parameters, storage, computation, memory, layer by layer",
    "paths": "the cheapest gradient paths of a network or a block, as text or as a drawing",
    "reproduce": "a table or figure of the papers, ours beside theirs",
    "compare": "train structures at equal cost and print accuracy beside cost and gradient paths",
    "pack": "a trained network as one small file: weights as bits, everything folded",
    "inspect": "what is in a packed network: size, origin, layers, the +1 and -1 weights",
    "run": "classify images with a packed network",
    "bench": "time a packed network against torch, ONNX Runtime and OpenVINO",
    "export": "a network as ONNX or OpenVINO model, with its answers checked",
    "track": "follow objects: train, run, evaluate, report",
}

HELP = """usage: onebit COMMAND [arguments]

1-bit convolutional networks: train them, understand them, ship them.

{commands}

`onebit COMMAND --help` explains a command. Example:  onebit train digits-demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())))
        return 0 if arguments else 2
    if arguments[0] in ("--version", "version"):
        from onebit import __version__

        print(f"onebit {__version__}")
        return 0
    from onebit.errors import OnebitError, unknown_name

    try:
        if arguments[0] not in COMMANDS:
            raise unknown_name("command", arguments[0], COMMANDS)
        command = importlib.import_module(f"onebit.cli.{arguments[0]}_command")
        status = command.run(arguments[1:]) or 0
        sys.stdout.flush()
        return status
    except OnebitError as error:
        print(f"onebit: error: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # Whoever read our output has gone; without this the interpreter complains about it once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"onebit: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("onebit: stopped; what was finished is kept (train: continue with --resume)", file=sys.stderr)
        return 130
