"""The engine as an optional part of the wheel: without a C++17 compiler the package installs all the same and runs in PyTorch.

Everything else about the package is in pyproject.toml. The library has a plain C interface (engine/include/onebit.h) and is loaded
by ctypes, so that one build serves every Python.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
SOURCES = sorted(str(path.relative_to(HERE)) for path in (HERE / "engine" / "src").rglob("*.cpp"))
HEADERS = sorted(str(path.relative_to(HERE)) for path in (HERE / "engine").rglob("*.h"))

# Kernels give the same bits, so no product and sum may be contracted into one operation. Nothing is built for the machine at hand:
# each set of kernels asks for its own instructions and is chosen at run time.
if sys.platform == "win32":
    COMPILE, LINK = ["/std:c++17", "/O2", "/fp:precise"], []
else:
    COMPILE = ["-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-pthread", "-g0"]
    LINK = ["-pthread", *(["-Wl,-s"] if sys.platform == "linux" else [])]


class BuildEngine(build_ext):
    """Compiles the files side by side; the library has no entry point of a Python module."""

    def build_extension(self, ext: Extension) -> None:
        def compile_one(source: str) -> str:
            places = {"output_dir": self.build_temp, "include_dirs": ext.include_dirs, "depends": ext.depends}
            return self.compiler.compile(
                [source], macros=ext.define_macros, extra_postargs=ext.extra_compile_args, **places
            )[0]

        with ThreadPoolExecutor(os.cpu_count()) as workers:
            ext.extra_objects = list(workers.map(compile_one, ext.sources))
        ext.sources = []
        super().build_extension(ext)

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return ext.export_symbols


setup(
    ext_modules=[
        Extension(
            "onebit._engine",
            SOURCES,
            include_dirs=["engine/include"],
            depends=HEADERS,
            language="c++",
            extra_compile_args=COMPILE,
            extra_link_args=LINK,
            define_macros=[("NDEBUG", None)],
            py_limited_api=True,
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildEngine},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
