"""The table of contents: the same pages and parts that a YAML parser finds."""

import yaml

from handpose_lib.teaching import contents


def test_pages_and_parts_are_those_of_the_file(project):
    toc = yaml.safe_load((project / "_toc.yml").read_text(encoding="utf-8"))
    expected = [(toc["root"], "")] + [
        (page["file"], part["caption"]) for part in toc["parts"] for page in part["chapters"]
    ]
    assert list(contents.pages().items()) == expected
