"""Operations are for every face: called in one process, they answer with values and print nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import undivided.operations
from undivided.model.errors import UsageError
from undivided.operations.catalog import rebuild_catalog
from undivided.operations.debug import debug_entry
from undivided.operations.diff import diff
from undivided.operations.find import find
from undivided.operations.init import init
from undivided.operations.keys import add_key, list_keys, remove_key, rotate_keys
from undivided.operations.passphrase import Question
from undivided.operations.points import list_points, set_pins
from undivided.operations.protect import protect
from undivided.operations.prune import decide_prune, execute_prune, plan_prune, prune_record
from undivided.operations.recover import execute_recovery, plan_recovery, recovery_record
from undivided.operations.recovery_kit import recovery_kit
from undivided.operations.repair import execute_repair, plan_repair
from undivided.operations.services import apply_services, list_services, remove_service, show_service
from undivided.operations.simulate import simulate
from undivided.operations.status import status
from undivided.operations.vault_info import vault_info
from undivided.operations.verify import verify
from undivided.operations.workspace import Workspace
from undivided.testing.program import change, describe

ROOM = Path(undivided.operations.__file__).parent


@pytest.fixture
def asked(monkeypatch) -> list[Question]:
    """The questions that a human was asked; the answer is always the same."""
    for name in ("PASSPHRASE", "KEY_FILE", "KEY_COMMAND", "NEW_PASSPHRASE"):
        monkeypatch.delenv(f"UNDIVIDED_{name}", raising=False)
    return []


def opened(home: Path, asked: list[Question]) -> Workspace:
    def ask(question: Question) -> str:
        asked.append(question)
        return "an answer"

    return Workspace(home / "config", ask)


def test_the_life_of_a_service_is_values_and_nothing_is_printed(tmp_path, asked, capfd):
    init(opened(tmp_path, asked))
    assert asked == [Question.NEW_PASSPHRASE]
    workspace = opened(tmp_path, asked)
    assert [one.result for one in apply_services(workspace, [describe(tmp_path)])] == ["applied"]
    first = protect(workspace, "shop")
    change(tmp_path)
    second = protect(workspace, "shop")
    records = [
        show_service(workspace, "shop").as_record(),
        *(one.as_record() for one in list_points(workspace, "shop")),
        status(workspace).as_record(),
        vault_info(workspace).as_record(),
        *(one.as_record() for one in simulate(workspace, keep={"last": 1}, mark=60.0, over=3600.0)),
        debug_entry(workspace, 2).as_record(),
    ]
    assert [s.name for s in list_services(workspace)] == ["shop"]
    assert asked == [Question.NEW_PASSPHRASE]

    changed = diff(workspace, "shop", first.id, second.id)
    assert {
        change.path for part in changed.components if part.name == "site" for change in part.changes or ()
    }
    assert asked == [Question.NEW_PASSPHRASE, Question.PASSPHRASE]
    found = [version.as_record() for version in find(workspace, "*.txt")]
    assert {version["path"] for version in found} == {"orders/1.txt", "orders/2.txt", "orders/3.txt"}
    verified = verify(workspace, read_data=True, points=["latest"])
    assert (verified.exit_code, verified.report.decoded) == (0, [second.id])
    plan = plan_recovery(workspace, "shop", at=first.id, to=tmp_path / "back")
    result = execute_recovery(workspace, plan)
    assert result.ok and (tmp_path / "back" / "site" / "orders" / "2.txt").exists()
    pinned = set_pins(workspace, "shop", [first.id], pinned=True)
    decision = decide_prune(workspace, ["shop"])
    pruned = plan_prune(workspace, decision, grace=0.0, budget=1 << 30)
    assert pruned
    execute_prune(workspace, pruned)
    repaired = execute_repair(workspace, plan_repair(workspace))
    added = add_key(workspace, label="another")
    assert remove_key(workspace, added.id[:8]) == added.id
    kit = recovery_kit(workspace, label="kit")
    rotation = rotate_keys(workspace, dry_run=True)
    remove_service(workspace, "shop")
    rebuilt = rebuild_catalog(workspace)
    records += [
        changed.as_record(),
        *found,
        verified.as_record(),
        plan.as_record(),
        recovery_record(result),
        pinned.as_record(),
        prune_record(decision, pruned, dry_run=False),
        repaired.as_record(),
        *(one.as_record() for one in list_keys(workspace)),
        kit.as_record(),
        rotation.as_record(),
        rebuilt.as_record(),
    ]
    assert rebuilt.points == 2
    for record in records:
        assert json.loads(json.dumps(record, default=dict))
    assert asked == [Question.NEW_PASSPHRASE, Question.PASSPHRASE, Question.NEW_PASSPHRASE]
    assert capfd.readouterr() == ("", "")


def test_without_a_face_that_asks_a_missing_passphrase_is_an_error(tmp_path, asked):
    with pytest.raises(UsageError, match="no passphrase is given") as caught:
        init(Workspace(tmp_path / "config"))
    assert "UNDIVIDED_PASSPHRASE_FILE" in caught.value.hint


@pytest.mark.parametrize("file", sorted(ROOM.glob("*.py")), ids=lambda file: file.stem)
def test_no_operation_knows_a_terminal_or_prints(file):
    tree = ast.parse(file.read_text())
    imported = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not imported & {"sys", "getpass"}
    assert not called & {"print", "input"}
