"""Packed networks: folding a module into operations on bits, the .onebit file, and running it."""

from onebit.deploy.file import read_program, save_program, write_program
from onebit.deploy.pack import pack
from onebit.deploy.packed_model import PackedModel, load
from onebit.deploy.program import Operation, Program

__all__ = ["Operation", "PackedModel", "Program", "load", "pack", "read_program", "save_program", "write_program"]
