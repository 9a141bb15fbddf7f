import pytest

from undivided.config.amounts import keep_rules, seconds, size
from undivided.model.errors import UsageError


def test_sizes_are_of_1024_in_any_usual_spelling():
    for text, count in [
        ("500", 500),
        ("500K", 512_000),
        ("1.5G", 3 << 29),
        ("4GiB", 4 << 30),
        ("2m", 2 << 20),
    ]:
        assert size("--budget", text) == count


def test_keep_rules_are_counts_and_within_a_duration():
    assert keep_rules(["last=20", "within=2d"]) == {"last": 20, "within": 172800.0}
    assert keep_rules([]) == {}


@pytest.mark.parametrize("given", ["last", "last=0", "last=-3", "last=2d", "within=2", "hurly=3", "=3"])
def test_a_rule_that_is_none_is_refused_with_a_hint(given):
    with pytest.raises(UsageError, match="--keep") as caught:
        keep_rules([given])
    assert caught.value.hint


@pytest.mark.parametrize(("read", "text"), [(size, "many"), (size, "-1"), (seconds, "5"), (seconds, "soon")])
def test_an_amount_that_is_none_names_its_option(read, text):
    with pytest.raises(UsageError, match="--given: ") as caught:
        read("--given", text)
    assert caught.value.hint
