import copy
import random
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
import yaml

from undivided.config.service_file import parse_definition, parse_service, parse_target
from undivided.config.yaml_nodes import FileError

PORTAL = dedent("""\
    service: portal
    components:
      db:    {kind: mariadb, socket: /run/mysqld/mysqld.sock, password: {env: DB_PASSWORD}}
      cache: {kind: redis, port: 6379}
      site:  {kind: files, path: /srv/portal, exclude: ["cache/**"], writers: {unit: apache2}}
    needs:   {site: [db, cache]}
    objectives: {rpo: 15s, rto: 5m, proof: 7d}
    policy:
      mark: 5s
      keep: {last: 20, hourly: 48, within: 2d}
      copies:
        - {vault: far, within: 1h}
        - {vault: tape, every: 7d, keep: {yearly: 7}}
    checks:
      - {http: "http://127.0.0.1:8080/"}
      - {command: [/usr/bin/test, -e, /srv/portal], timeout: 5s}
    """)


def errors_of(text: str, exists=None) -> list[tuple[int, int, str, str]]:
    """All complaints about a file; each has a hint."""
    with pytest.raises(FileError) as caught:
        parse_service(dedent(text), "portal.yaml", exists=exists)
    assert caught.value.exit_code == 2
    assert all(c.hint.endswith((".", "?")) for c in caught.value.complaints), caught.value
    return [(c.line, c.column, c.cause, c.hint) for c in caught.value.complaints]


def test_a_service_is_read_with_everything_a_file_may_say():
    service = parse_service(PORTAL, "portal.yaml", exists=None)
    assert service.name == "portal"
    assert service.components["db"].kind == "mariadb"
    assert service.components["db"].options["password"] == {"env": "DB_PASSWORD"}
    assert service.components["site"].options["exclude"] == ["cache/**"]
    assert service.needs == {"site": ("db", "cache")}
    assert service.ranks() == [["db", "cache"], ["site"]]
    assert (service.objectives.rpo, service.objectives.rto, service.objectives.proof) == (15, 300, 604800)
    assert service.policy.mark == 5
    assert service.policy.keep == {"last": 20, "hourly": 48, "within": 2 * 86400.0}
    assert [(c.vault, c.within, c.every) for c in service.policy.copies] == [
        ("far", 3600, None),
        ("tape", None, 604800),
    ]
    assert [(c.http, c.command, c.expect, c.timeout) for c in service.checks] == [
        ("http://127.0.0.1:8080/", None, 200, 30),
        (None, ("/usr/bin/test", "-e", "/srv/portal"), 0, 5),
    ]


def test_defaults_of_a_kind_are_filled_in():
    service = parse_service(PORTAL, "portal.yaml", exists=None)
    assert service.components["db"].options["port"] == 3306
    assert service.components["site"].options["one_filesystem"] is False


def test_a_definition_gives_the_same_service_again_without_its_file():
    service = parse_service(PORTAL, "portal.yaml", exists=None)
    assert service.definition["objectives"] == {"rpo": "15s", "rto": "5m", "proof": "7d"}
    assert parse_definition(service.definition, "point x") == service


def test_all_errors_are_reported_at_once_each_with_its_place():
    found = errors_of("""\
        service: Portal
        componets: {}
        components:
          db: {kind: mysql}
          cache: {kind: redis, prt: 6379}
        needs: {cache: [dbb]}
        objectives: {rpo: 15}
        """)
    assert [(line, column) for line, column, _, _ in found] == [
        (1, 10),
        (2, 1),
        (4, 14),
        (5, 24),
        (6, 17),
        (7, 19),
    ]


def test_the_message_names_file_line_column_and_hint():
    with pytest.raises(FileError) as caught:
        parse_service("service: a\ncomponents:\n  x: {kind: flies, path: /x}\n", "a.yaml", exists=None)
    assert str(caught.value) == (
        "read a.yaml: 1 error\n"
        "  a.yaml:3:13: component x: unknown kind 'flies'\n"
        "    HINT: Did you mean 'files'?"
    )


@pytest.mark.parametrize(
    ("line", "cause", "hint"),
    [
        ("componets: {}", "unknown key 'componets'", "'components'"),
        ("needs: {a: [b], b: [c], c: [a]}", "the dependencies form a cycle: a → b → c → a", "Remove one"),
        ("needs: {a: a}", "the dependencies form a cycle: a → a", "Remove one"),
        ("needs: {z: [a]}", "unknown component 'z'", "a, b, c"),
        ("needs: {a: [bb]}", "needs an unknown component 'bb'", "'b'"),
        ("needs: {a: [[b]]}", "a must name components, not a list", "Write one name"),
        ("objectives: {rpo: 15}", "a number without a unit", "15s"),
        ("objectives: {rpo: soon}", "invalid duration: 'soon'", "15s"),
        ("objectives: {rpo: 0s}", "must be longer than zero: '0s'", "15s"),
        ("objectives: {rpo: }", "must be a duration, not empty", "15s"),
        ("policy: {keep: {hurly: 3}}", "unknown rule 'hurly'", "'hourly'"),
        ("policy: {keep: {last: 0}}", "last must be at least 1", "remove the rule"),
        ("policy: {keep: {last: 20d}}", "must be a number of points, not text (20d)", "`within: 2d`"),
        ("policy: {keep: {within: 2}}", "not a number without a unit (2)", "15s, 5m"),
        ("policy: {keep: {}}", "keep has no rule", "To keep every point, remove it"),
        ("policy: {kep: {}}", "unknown key 'kep'", "'keep'"),
        ("policy: {copies: [{within: 1h}]}", "key 'vault' is missing", "name of the vault"),
        ("policy: {copies: [{vault: far}]}", "exactly one of within, every", "1h"),
        ("policy: {copies: [{vault: far, within: 1h, every: 1d}]}", "exactly one of within, every", "1h"),
        ("policy: {copies: far}", "copies must be a list, not text", "vault: far"),
        ("checks: {http: x}", "checks must be a list", "- "),
        ("checks: [{expect: 200}]", "exactly one of http, command", "{http: ADDRESS}"),
        ("checks: [{http: 'ftp://x'}]", "http:// or https://", "http://127.0.0.1:8080/"),
        ("checks: [{http: 'http://a:geheim@x/'}]", "contains a password", "Use `command`"),
        (
            "checks: [{http: 'http://x', expect: 99999999999999999999}]",
            "at most 9223372036854775807",
            "smaller",
        ),
        ("policy: {keep: {last: 99999999999999999999}}", "at most 9223372036854775807", "remove `keep`"),
        ("policy: {keep: many}", "keep must be a mapping of keys to values, not text", "`key: value`"),
        ("objectives: {rpo: 99999999w}", "at most 200 years: '99999999w'", "15s"),
        ("checks: [{command: 'rm -rf /'}]", "must be a list", "never go through a shell"),
        ("checks: [{command: []}]", "has no program", "argument"),
    ],
)
def test_an_error_is_reported_with_a_hint(line, cause, hint):
    components = "".join(f"  {name}: {{kind: redis}}\n" for name in "abc")
    found = errors_of(f"service: s\ncomponents:\n{components}{line}\n")
    assert len(found) == 1
    assert found[0][0] == 6
    assert cause in found[0][2]
    assert hint in found[0][3]


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("http://x:99999/", "port out of range 0-65535"),
        ("http://x:0/", "the port must be between 1 and 65535, not 0"),
        ("http://x:http/", "port could not be cast to integer value as 'http'"),
        ("http://[::1", "invalid IPv6 URL"),
        ("http://:80/", "it has no host"),
        ("http://x/\u00fc", "its path must be ASCII"),
        (f"http://{'a' * 70}.example/", "its host cannot be a name in DNS"),
    ],
)
def test_an_address_that_nothing_can_reach_is_refused_when_it_is_applied(address, cause):
    text = f"service: s\ncomponents:\n  x: {{kind: redis}}\nchecks: [{{http: '{address}'}}]\n"
    (found,) = errors_of(text, exists=lambda _path: True)
    assert found[:2] == (4, 17)
    assert cause in found[2]
    assert "http://127.0.0.1:8080/" in found[3]
    assert parse_service(text, "point", exists=None).checks[0].http == address


@pytest.mark.parametrize(
    ("component", "cause"),
    [
        ("{}", "key 'kind' is missing"),
        ("{kind: files}", "key 'path' is missing"),
        ("{kind: files, path: relative}", "must be an absolute path"),
        ("{kind: files, path: 5}", "must be text, not a number"),
        ("{kind: files, path: /x, one_filesystem: maybe}", "must be true or false"),
        ("{kind: files, path: /x, exclude: cache}", "must be a list of texts"),
        (
            "{kind: files, path: /x, writers: {user: a, unit: b}}",
            "exactly one of unit, cgroup, pidfile, user",
        ),
        ("{kind: files, path: /x, writers: {freeze: cgroup}}", "exactly one of unit, cgroup, pidfile, user"),
        ("{kind: files, path: /x, writers: {user: a, freeze: hard}}", "freeze must be one of cgroup, stop"),
        ("{kind: redis, port: 0}", "between 1 and 65535"),
        ("{kind: redis, user: 0}", "must be text, not a number"),
        ("{kind: redis, user: ''}", "must be text, not empty"),
        ("{kind: redis, port: '6379'}", "must be a whole number, not text"),
        ("{kind: redis, port: 06379}", "must be a whole number"),
        ("{kind: redis, start: redis-server}", "must be a list of a program and its arguments, not text"),
        ("{kind: redis, password: {file: x}}", "must be an absolute path"),
        ("{kind: redis, password: {env: A, file: /x}}", "exactly one of file, env, command"),
        ("{kind: redis, password: {vault: x}}", "unknown key 'vault'"),
        ("redis", "must be a mapping"),
    ],
)
def test_an_error_in_a_component_is_reported(component, cause):
    found = errors_of(f"service: s\ncomponents:\n  x: {component}\n")
    assert any(cause in text for _, _, text, _ in found), found


def test_a_secret_in_plain_text_is_refused_and_not_repeated():
    with pytest.raises(FileError) as caught:
        parse_service(
            "service: s\ncomponents:\n  x: {kind: redis, password: geheim}\n", "s.yaml", exists=None
        )
    assert "is written in plain text" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_paths_must_exist_only_when_a_service_is_applied(tmp_path):
    text = f"service: s\ncomponents:\n  x: {{kind: files, path: {tmp_path}/none}}\n"
    with pytest.raises(FileError, match="does not exist"):
        parse_service(text, "s.yaml")
    assert parse_service(text, "s.yaml", exists=None).components["x"].get("path") == f"{tmp_path}/none"


def test_a_duplicate_key_names_the_line_of_the_first():
    found = errors_of("service: s\ncomponents:\n  x: {kind: redis}\n  x: {kind: redis}\n")
    assert found[0][:2] == (4, 3)
    assert "first used on line 3" in found[0][2]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "the file is empty"),
        ("a: b: c", "invalid YAML"),
        ("a:\n\t- b", "invalid YAML"),
        ("[1, 2", "invalid YAML"),
        ("just text", "must be a mapping"),
        ("~", "must be a mapping"),
        ("service: s\0", "invalid YAML"),
        (f"service: {'9' * 5000}", "invalid YAML"),
        ("&a [*a]", "too large or nested too deeply"),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
         "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "too large or nested too deeply"),
        ("a: !!python/object/apply:os.system [true]", "unknown key 'a'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_service_file_is_refused(text, cause):
    assert any(cause in complaint for _, _, complaint, _ in errors_of(text))


def test_a_target_changes_only_what_it_names():
    service = parse_service(PORTAL, "portal.yaml", exists=None)
    target = parse_target("db: {path: /new/db, port: 3307}\nsite: {path: /new/site}\n", "t.yaml", service)
    assert target == {"db": {"path": "/new/db", "port": 3307}, "site": {"path": "/new/site"}}


def test_all_errors_of_a_target_are_reported_at_once():
    service = parse_service(PORTAL, "portal.yaml", exists=None)
    with pytest.raises(FileError) as caught:
        parse_target("dbb: {port: 1}\nsite: {path: rel, prot: 3}\n", "t.yaml", service)
    assert [(c.line, c.cause) for c in caught.value.complaints] == [
        (1, "service portal has no component 'dbb'"),
        (2, "site: path must be an absolute path, not 'rel'"),
        (2, "site: unknown key 'prot'"),
    ]


def test_a_name_must_not_end_in_a_newline():
    found = errors_of('service: "s\\n"\ncomponents: {x: {kind: redis}}\n')
    assert [(line, column) for line, column, _, _ in found] == [(1, 10)]


VALUES: list[Any] = [None, True, 0, -1, 70000, 1.5, "", "x", "/abs", "5m", [], [1], [None], [[]], [{}], {},
          {"a": 1}, {"file": "x"}, {"env": "A", "file": "/x"}, {"kind": 5}, {"last": 0}]  # fmt: skip


@pytest.mark.parametrize("seed", range(400))
def test_a_broken_file_is_read_or_refused_with_places_and_nothing_else(seed):
    """Values are replaced, removed and renamed anywhere in a file. The parser accepts the result, or every
    complaint has a place and speaks of the file alone."""
    chance = random.Random(seed)
    document = yaml.safe_load(PORTAL)
    for _ in range(chance.choice([1, 1, 2, 3])):
        parent, key = chance.choice(list(_members(document)))
        change = chance.random()
        if change < 0.6:
            parent[key] = copy.deepcopy(chance.choice(VALUES))
        elif change < 0.8 or isinstance(parent, list):
            del parent[key]
        else:
            parent[chance.choice([f"{key}x", key.upper(), "9"])] = parent.pop(key)
        document = document or {"service": 1}
    try:
        parse_service(yaml.safe_dump(document, sort_keys=False), "x.yaml", exists=None)
    except FileError as error:
        for complaint in error.complaints:
            assert complaint.line and complaint.column and complaint.hint
            assert "Node(" not in str(error) and "None" not in str(error)


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield value, key
        yield from _members(value[key])
