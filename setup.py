"""Builds the distribution: the mapped packages and, where a compiler is at hand, the extensions.

``CHANNELS_REQUIRE_EXTENSIONS=1`` makes a failed compile fatal, ``CHANNELS_NO_EXTENSIONS=1`` builds
a pure wheel. Everything that is not about packages and extensions stands in ``pyproject.toml``.
"""

import gzip
import os
import sys
import tarfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent

#: The import packages whose sources stand at the top level under another name.
PACKAGE_DIR = {
    "channels.delay": "delay",
    "channels.deploy": "deploy",
    "channels._speedups": "_speedups",
}

#: Plugins for other Twisted programs; no package of ours, since Twisted owns ``twisted.plugins``.
PLUGINS = "daphne/twisted/plugins"

#: Extensions over system calls that other systems lack; what needs them says so when it is used.
LINUX_ONLY = {"shm"}

#: The age of what is packed where ``SOURCE_DATE_EPOCH`` gives none: 1980, the earliest in a wheel.
EPOCH = 315_532_800


def find_packages() -> list[str]:
    """Every package of the distribution, the mapped ones under their import names."""
    roots = {"channels": "channels", "daphne": "daphne"} | PACKAGE_DIR
    found = []
    for name, folder in roots.items():
        for init in sorted((HERE / folder).glob("**/__init__.py")):
            relative = init.parent.relative_to(HERE / folder).parts
            if name == "channels" and relative[:1] in {("delay",), ("deploy",), ("_speedups",)}:
                continue  # the symlinks that type checkers need
            found.append(".".join((name, *relative)))
    return found


def extensions() -> list[Extension]:
    """The Cython modules; their C code goes under ``build/``."""
    sources = sorted(path.relative_to(HERE) for path in (HERE / "_speedups").glob("*.pyx"))
    if sys.platform != "linux":
        sources = [path for path in sources if path.stem not in LINUX_ONLY]
    if os.environ.get("CHANNELS_NO_EXTENSIONS") == "1" or not sources:
        return []
    from Cython.Build import cythonize  # noqa: PLC0415  (a pure build needs no Cython)

    modules = cythonize(
        [
            Extension(
                f"channels._speedups.{path.stem}",
                [str(path)],
                include_dirs=["_speedups"],
                depends=[str(header) for header in Path("_speedups").glob(f"{path.stem}_*.h")],
                extra_compile_args=["-O3", "-Werror=implicit-function-declaration"],
            )
            for path in sources
        ],
        build_dir="build/cython",
        include_path=["_speedups"],
        language_level=3,
    )
    required = os.environ.get("CHANNELS_REQUIRE_EXTENSIONS") == "1"
    for module in modules:  # cythonize() drops the flag when it is given to Extension()
        module.optional = not required
    return modules


class BuildPy(build_py):
    """Also puts Twisted's plugin where Twisted looks for plugins.

    Not in an editable install, which cannot add to a package of another distribution.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._plugins():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        plugins = [] if self.editable_mode else [target for _, target in self._plugins()]
        return super().get_outputs(include_bytecode) + plugins

    def _plugins(self) -> list[tuple[str, str]]:
        return [
            (f"{PLUGINS}/{path.name}", f"{self.build_lib}/twisted/plugins/{path.name}")
            for path in sorted((HERE / PLUGINS).glob("*.py"))
        ]


class Sdist(sdist):
    """Packs the same bytes of the same files, whoever packs them, when and where."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owners):
        if format != "gztar":  # the only format of an sdist (PEP 625)
            return super().make_archive(base_name, format, root_dir, base_dir, **owners)
        age = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
        name = f"{base_name}.tar.gz"
        files = sorted(path for path in Path(base_dir).rglob("*") if path.is_file())
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=age) as packed,
            tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in files:
                member = tarfile.TarInfo(path.as_posix())  # of nobody, and of mode 644
                member.size = path.stat().st_size
                member.mtime = age
                with path.open("rb") as content:
                    archive.addfile(member, content)
        return name


setup(
    cmdclass={"build_py": BuildPy, "sdist": Sdist},
    packages=find_packages(),
    package_dir=PACKAGE_DIR,
    ext_modules=extensions(),
    options={"build_ext": {"parallel": True}},  # a compiler for each processor
)
