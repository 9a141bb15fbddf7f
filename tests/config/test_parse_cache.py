import json

import pytest

from undivided.config.parse_cache import keep, kept, service_from, service_record
from undivided.config.service_file import parse_service

TEXT = """\
service: portal
components:
  db: {kind: mariadb, password: {command: [pass, db]}, start: [mariadbd]}
  site: {kind: files, path: /srv/portal, exclude: ["cache/**"], writers: {user: www, freeze: stop}}
needs: {site: [db]}
objectives: {rpo: 15s}
policy: {keep: {last: 3}, copies: [{vault: far, within: 1h}, {vault: tape, every: 7d, keep: {yearly: 7}}]}
checks: [{http: "http://127.0.0.1/"}, {command: [/bin/true], timeout: 2s}]
"""


@pytest.mark.parametrize("text", [TEXT, "service: s\ncomponents: {c: {kind: redis}}\n"])
def test_a_kept_service_is_the_service_that_was_parsed(text, tmp_path):
    service = parse_service(text, "portal.yaml", exists=None)
    keep(tmp_path / "kept" / "s.json", text, service_record(service))
    record = kept(tmp_path / "kept" / "s.json", text)
    assert record is not None
    assert service_from(record) == service


def test_it_counts_only_for_the_very_text_and_program(tmp_path):
    path = tmp_path / "s.json"
    keep(path, "a: 1\n", {"a": 1})
    assert kept(path, "a: 1\n") == {"a": 1}
    assert kept(path, "a: 2\n") is None
    path.write_text(json.dumps({**json.loads(path.read_text()), "program": "0.0.0"}))
    assert kept(path, "a: 1\n") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_broken_one_is_worth_nothing(tmp_path, content):
    (tmp_path / "s.json").write_bytes(content)
    assert kept(tmp_path / "s.json", "a: 1\n") is None
