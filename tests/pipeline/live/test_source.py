"""The page's source: its unit tests pass, its types are checked, its packages are locked."""

import json
import re
import subprocess

import pytest

from pipeline.live import hand_model, toolchain
from pipeline.site import site_sources


def test_the_unit_tests_pass():
    answer = toolchain.unit_tests(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert answer.returncode == 0, answer.stdout
    assert re.search(r"^\S* pass [1-9]\d*$", answer.stdout, re.MULTILINE)


def test_a_wrong_type_is_found(monkeypatch, tmp_path):
    page = tmp_path / "page"
    toolchain.shutil.copytree(toolchain.PAGE, page)
    monkeypatch.setattr(toolchain, "PAGE", page)
    assert toolchain.types().returncode == 0
    with (page / "src" / "vectors.js").open("a", encoding="utf-8") as source:
        source.write('export const wrong = dot("a", 3);\n')
    assert toolchain.types().returncode != 0


def test_every_package_is_locked_with_its_version_and_digest():
    asked = json.loads((toolchain.PAGE / "package.json").read_text(encoding="utf-8"))
    locked = json.loads((toolchain.PAGE / "package-lock.json").read_text(encoding="utf-8"))
    for name, version in {**asked["dependencies"], **asked["devDependencies"]}.items():
        assert locked["packages"][f"node_modules/{name}"]["version"] == version
    packages = {name: about for name, about in locked["packages"].items() if name}
    assert all(about["integrity"].startswith("sha512-") for about in packages.values())
    assert "http" not in "".join(about.get("resolved", "") for about in packages.values())


def test_the_derived_spheres_are_checked_to_be_linear(monkeypatch):
    assert len(hand_model.derived()) == 4 * 10
    samples = hand_model.samples

    def squared(*arguments, **options):
        vectors, spheres = samples(*arguments, **options)
        return vectors, spheres**2

    monkeypatch.setattr(hand_model, "samples", squared)
    with pytest.raises(AssertionError, match="not linear"):
        hand_model.derived()


def test_the_scripts_go_to_where_the_page_loads_them(tmp_path):
    for name in ("page/live.js", "page/.mark", "networks/jgr_p2o.js"):
        (tmp_path / "live" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "live" / name).write_text("// a script")
    site_sources.collect_live(tmp_path / "live", tmp_path / "source")
    place = tmp_path / "source" / "vendor" / "_static" / "live"
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert found == {"live.js", "networks/jgr_p2o.js"}
    page = (toolchain.paths.project() / "book" / "training" / "live_hand.md").read_text("utf-8")
    assert '<script src="../../_static/live/live.js" defer></script>' in page
