"""Whose line it was: the innermost frame outside torch, the standard library and the capture itself."""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType, TracebackType

import torch

_GRAPH = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ONEBIT = os.path.dirname(_GRAPH.rstrip(os.sep)) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_FUNCTION = os.path.join(_TORCH, "autograd", "function.py")
_LONGEST = 100
_ENTRY = os.path.join(_GRAPH, "capture.py")

Place = tuple[str, int]
_NOWHERE: Place = ("", 0)


def _foreign(filename: str) -> bool:
    """Whether a file is torch's, the standard library's or the capture's."""
    if filename.startswith((_GRAPH, _TORCH)) or filename.startswith("<frozen"):
        return True
    return filename.startswith(_LIBRARY) and "site-packages" not in filename


def _innermost(places: list[Place]) -> Place:
    """Of frames listed from the inside out, the first of the user's; else the first of onebit's networks."""
    mine = [place for place in places if not _foreign(place[0])]
    return next((place for place in mine if not place[0].startswith(_ONEBIT)), mine[0] if mine else _NOWHERE)


def source_of_caller() -> str:
    """``file.py:123`` of the line of a captured ``forward`` that is running now, or "" if none is."""
    places = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "capture" and code.co_filename == _ENTRY:
            break
        places.append((code.co_filename, frame.f_lineno))
        frame = frame.f_back
    filename, number = _innermost(places)
    return f"{os.path.basename(filename)}:{number}" if filename else ""


def gradient_is_off() -> bool:
    """Whether the running forward has gradients switched off; torch itself does so while it runs a custom Function's."""
    if torch.is_grad_enabled():
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _FUNCTION:
        if frame.f_code.co_name == "capture" and frame.f_code.co_filename == _ENTRY:
            return True
        frame = frame.f_back
    return False


def source_of_traceback(traceback: TracebackType | None) -> Place:
    """File and line where a captured ``forward`` failed; ("", 0) if it was not in anyone's code."""
    places = []
    while traceback is not None:
        places.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return _innermost(places[::-1])


def code_line(filename: str, number: int) -> str:
    """``file.py:123 `the code of that line` ``."""
    code = linecache.getline(filename, number).strip()
    code = code if len(code) <= _LONGEST else code[:_LONGEST] + " ..."
    return f"{os.path.basename(filename)}:{number}" + (f" `{code}`" if code else "")
