"""Builds the compiled core with the wheel, where a C compiler is; without one, pure Python.

`ECHOTOK_CORE=skip` in the environment leaves the core out; `ECHOTOK_CORE=require` makes a failed
build an error, as the published wheels do.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("echotok", "engine", "_core.c")


class CoreBuildHook(BuildHookInterface):  # type: ignore[misc, type-arg]
    """Compiles `echotok/engine/_core.c` into the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell the wheel of the file.

        Args:
            version: `standard` for a wheel, `editable` for a checkout that is installed in place.
            build_data: what the wheel is made from.
        """
        wish = os.environ.get("ECHOTOK_CORE", "")
        if self.target_name != "wheel" or wish == "skip":
            return
        root = Path(self.root)
        library = root / SOURCE.parent / ("_core" + str(sysconfig.get_config_var("EXT_SUFFIX")))
        try:
            _compile(root, library)
        except Exception as error:
            # Any compiler may fail in any way, and the package works without it.
            if wish == "require":
                raise
            self.app.display_warning(
                f"echotok is installed without its compiled core ({error}); the Python engine "
                "gives the same ids, more slowly"
            )
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"/{library.relative_to(root).as_posix()}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Pack a wheel again, as small as its format allows: a hundredth less.

        Args:
            version: as in `initialize`.
            build_data: as in `initialize`.
            artifact_path: the wheel; nothing is done to an sdist.
        """
        if self.target_name == "wheel" and version == "standard":
            wheel = Path(artifact_path)
            packed = wheel.with_name(wheel.name + ".partial")
            with ZipFile(wheel) as given, ZipFile(packed, "w") as smaller:
                for file in given.infolist():
                    smaller.writestr(file, given.read(file), compresslevel=9)
            packed.replace(wheel)


def _compile(root: Path, library: Path) -> None:
    """Compile the core into a file that appears whole."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    # Plain C throws nothing that tables of unwinding would be for.
    small = ["-g0", "-fno-asynchronous-unwind-tables"]
    flags = ["/O2"] if sys.platform == "win32" else ["-O2", "-std=c11", *small]
    extension = Extension(
        "echotok.engine._core",
        [str(root / SOURCE)],
        extra_compile_args=flags,
        # Names and notes for a debugger are three quarters of the file.
        extra_link_args=["-Wl,-s"] if sys.platform == "linux" else [],
    )
    command = build_ext(Distribution({"name": "echotok", "ext_modules": [extension]}))
    with tempfile.TemporaryDirectory() as folder:
        command.build_temp = command.build_lib = folder
        command.ensure_finalized()
        command.run()
        built = Path(command.get_ext_fullpath(extension.name)).read_bytes()
    partial = library.with_name(library.name + ".partial")
    partial.write_bytes(built)
    partial.replace(library)


if __name__ == "__main__":
    # In place, for those who work on it: python hatch_build.py
    folder = Path(__file__).parent
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    _compile(folder, folder / SOURCE.parent / f"_core{suffix}")
