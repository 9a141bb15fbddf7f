import json

import pytest

from undivided.config.parse_cache import load_parsed, service_from_record, service_record, store_parsed
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
def test_a_cached_service_equals_the_parsed_service(text, tmp_path):
    service = parse_service(text, "portal.yaml", exists=None)
    store_parsed(tmp_path / "cache" / "s.json", text, service_record(service))
    record = load_parsed(tmp_path / "cache" / "s.json", text)
    assert record is not None
    assert service_from_record(record) == service


def test_a_cached_value_is_used_only_for_the_same_text_and_version(tmp_path):
    path = tmp_path / "s.json"
    store_parsed(path, "a: 1\n", {"a": 1})
    assert load_parsed(path, "a: 1\n") == {"a": 1}
    assert load_parsed(path, "a: 2\n") is None
    path.write_text(json.dumps({**json.loads(path.read_text()), "program": "0.0.0"}))
    assert load_parsed(path, "a: 1\n") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_cache_file_is_ignored(tmp_path, content):
    (tmp_path / "s.json").write_bytes(content)
    assert load_parsed(tmp_path / "s.json", "a: 1\n") is None
