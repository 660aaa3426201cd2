"""Builds bertc._core from csrc/ and the C files of the package. BERTC_MODE=debug|asan|tsan chooses other flags."""

import os
import shlex
import sys
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))
import cbuild

BINDING = [Path("bertc/_core.c"), Path("bertc/_convert.c"), Path("bertc/_state_dict.c")]


class BuildCore(build_ext):
    """Compiles with cbuild, which knows the flags of each folder, then links in one step."""

    def build_extension(self, extension):
        mode = os.environ.get("BERTC_MODE", "release")
        includes = [*self.include_dirs, numpy.get_include()]
        folder = cbuild.ROOT / "build" / f"c-{mode}"
        core = cbuild.compile_all(cbuild.core_sources(), folder, mode, [])
        flags = [f"-isystem{path}" for path in includes]
        abi = f"python-{sys.implementation.cache_tag}"
        binding = cbuild.compile_all(BINDING, folder / abi, mode, flags)
        output = Path(self.get_ext_fullpath(extension.name))
        output.parent.mkdir(parents=True, exist_ok=True)
        strip = ["-Wl,-s"] if mode == "release" else []
        link = shlex.split(os.environ.get("LDFLAGS", ""))
        objects = map(str, [*binding, *core])
        cbuild.run(
            [
                *cbuild.CC,
                "-shared",
                *link,
                *strip,
                *cbuild.link_flags(mode),
                *objects,
                *cbuild.LIBRARIES,
                "-o",
                str(output),
            ]
        )


setup(ext_modules=[Extension("bertc._core", [str(path) for path in BINDING])], cmdclass={"build_ext": BuildCore})
