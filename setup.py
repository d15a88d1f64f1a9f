"""Puts the committed content into the wheel; everything else is in pyproject.toml.

An installed library reads chapters, tables and records from `handpose_lib/content`, a checkout
reads them where they are: `handpose_lib.paths.project` decides.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONTENT = ("book", "_toc.yml", "_config.yml")
LEFT_OUT = shutil.ignore_patterns("checkpoint", ".*", "ruff.toml")


class BuildWithContent(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "handpose_lib" / "content"
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build
        target.mkdir(parents=True)
        for name in CONTENT:
            if Path(name).is_dir():
                shutil.copytree(name, target / name, ignore=LEFT_OUT)
            else:
                shutil.copy(name, target / name)


setup(cmdclass={"build_py": BuildWithContent})
