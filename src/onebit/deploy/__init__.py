"""Packed networks: folding a module into operations on bits, the .onebit file, and running it."""

from onebit.deploy.file import read_program, save_program, write_program
from onebit.deploy.program import Operation, Program

__all__ = ["Operation", "Program", "read_program", "save_program", "write_program"]
