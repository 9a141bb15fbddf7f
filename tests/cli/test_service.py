import json

import pytest

from undivided.testing.program import Program, describe


@pytest.fixture
def program(program: Program) -> Program:
    program("init")
    describe(program.home)
    return program


def test_apply_applies_a_service_and_reports_the_result(program):
    assert program("service", "apply", "shop.yaml")["services"] == [
        {"service": "shop", "result": "applied", "components": ["db", "site"]}
    ]
    assert program("service", "apply", "shop.yaml")["services"][0]["result"] == "unchanged"
    file = program.home / "shop.yaml"
    file.write_text(file.read_text() + "# a word more\n")
    assert program("service", "apply", "shop.yaml")["services"][0]["result"] == "changed"


def test_list_and_show_print_the_applied_services(program):
    program("service", "apply", "shop.yaml")
    assert program("service", "list")["services"] == [
        {
            "service": "shop",
            "components": {
                "db": {"kind": "sqlite", "host": "localhost"},
                "site": {"kind": "files", "host": "localhost"},
            },
        }
    ]
    shown = program("service", "show", "shop")
    assert shown["definition"]["needs"] == {"site": ["db"]}
    assert shown["order"] == [["db"], ["site"]]
    assert "site needs db" in program.run("service", "show", "shop").stdout


def test_the_stored_file_is_the_file_as_it_was_applied(program):
    program("service", "apply", "shop.yaml")
    (program.home / "shop.yaml").write_text("service: other\n")
    assert program("service", "show", "shop")["service"] == "shop"


def test_a_kept_file_that_was_edited_by_hand_counts(program):
    program("service", "apply", "shop.yaml")
    kept = program.config / "services" / "shop.yaml"
    kept.write_text(kept.read_text().replace("rpo: 1h", "rpo: 2h"))
    assert program("service", "show", "shop")["definition"]["objectives"] == {"rpo": "2h"}


def test_mistakes_are_reported_with_their_places_as_text_and_as_json(program):
    (program.home / "bad.yaml").write_text(
        "service: bad\ncomponents:\n  site: {kind: file, path: /x}\n  db: {kind: sqlite}\n"
    )
    said = program.fails("service", "apply", "bad.yaml", code=2)
    assert "bad.yaml:3:16: component site: unknown kind 'file'\n    HINT: Did you mean 'files'?" in said
    assert "bad.yaml:4:7: component db: key 'path' is missing" in said
    complaints = program("service", "apply", "bad.yaml", code=2)["error"]["complaints"]
    assert [(c["line"], c["column"]) for c in complaints] == [(3, 16), (4, 7)]


def test_no_file_is_applied_while_one_is_wrong(program):
    (program.home / "bad.yaml").write_text("service: bad\n")
    program.fails("service", "apply", "shop.yaml", "bad.yaml", code=2)
    assert program("service", "list")["services"] == []


def test_a_component_of_another_host_is_refused(program):
    file = program.home / "shop.yaml"
    file.write_text(file.read_text().replace("kind: sqlite", "kind: sqlite, host: elsewhere"))
    assert "component db is on host elsewhere" in program.fails("service", "apply", "shop.yaml", code=2)


@pytest.mark.parametrize("pattern", ["a[z-a]", "!keep", "/"])
def test_a_pattern_that_cannot_be_one_is_refused_before_it_is_applied(program, pattern):
    file = program.home / "shop.yaml"
    file.write_text(file.read_text().replace("kind: files", f"kind: files, exclude: ['{pattern}']"))
    said = program.fails("service", "apply", "shop.yaml", code=2)
    assert said.startswith("undivided: apply shop.yaml: component site: ")
    assert "\nHINT: " in said
    assert program("service", "list")["services"] == []


def test_remove_removes_a_service(program):
    program("service", "apply", "shop.yaml")
    program("service", "remove", "shop")
    assert program("service", "list")["services"] == []
    program.fails("service", "remove", "shop", code=2)


@pytest.mark.parametrize("name", ["shopp", "../config", "", ".hidden", "shop/../shop"])
def test_an_unknown_service_is_reported_with_the_likely_name(program, name):
    program("service", "apply", "shop.yaml")
    said = program.fails("service", "show", name, code=2)
    assert "HINT:" in said
    if name == "shopp":
        assert "Did you mean 'shop'?" in said


def test_the_schema_is_json(program):
    assert json.loads(program.run("service", "schema").stdout)["title"] == "Undivided service"
