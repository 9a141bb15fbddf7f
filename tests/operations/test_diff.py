import os

from undivided.model.entries import Entries
from undivided.model.service import Component
from undivided.operations.diff import live_tree
from undivided.tree.compare import compare


def test_a_live_tree_is_chosen_as_it_is_when_protected(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "junk").write_text("x")
    (tmp_path / "kept").write_text("x")
    component = Component("site", "files", {"path": str(tmp_path), "exclude": ["cache/**"]})
    assert sorted(live_tree(component).path) == [b".", b"cache", b"kept"]


def test_names_that_are_not_utf8_are_compared_as_they_are(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff\n", "wb"):
        pass
    component = Component("site", "files", {"path": str(tmp_path)})
    live = live_tree(component)
    changes = compare(Entries.none(), live, live=True)
    assert [c.path for c in changes] == [b".", b"\xff\n"]
