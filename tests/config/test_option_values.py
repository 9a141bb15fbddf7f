import pytest

from undivided.config.option_values import parse_count, parse_keep_rules, parse_seconds, parse_size
from undivided.model.errors import UsageError


def test_sizes_count_in_1024_in_every_usual_spelling():
    for text, count in [
        ("500", 500),
        ("500K", 512_000),
        ("1.5G", 3 << 29),
        ("4GiB", 4 << 30),
        ("2m", 2 << 20),
    ]:
        assert parse_size("--budget", text) == count


def test_a_count_is_a_whole_number_from_1_on():
    assert [parse_count("--last", text) for text in ("1", "007", str(2**63 - 1))] == [1, 7, 2**63 - 1]


def test_keep_rules_are_counts_and_within_a_duration():
    assert parse_keep_rules(["last=20", "within=2d"]) == {"last": 20, "within": 172800.0}
    assert parse_keep_rules([]) == {}


@pytest.mark.parametrize(
    "given", ["last", "last=0", "last=-3", "last=2d", "within=2", "hurly=3", "=3", f"last={'9' * 5000}"]
)
def test_an_invalid_keep_rule_is_refused_with_a_hint(given):
    with pytest.raises(UsageError, match="--keep") as caught:
        parse_keep_rules([given])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_size, "many"),
        (parse_size, "-1"),
        (parse_size, "9" * 400),
        (parse_seconds, "5"),
        (parse_seconds, "soon"),
        *(
            (parse_count, text)
            for text in ("0", "-1", "1.5", "x", "", " 1", "\u0663", "9" * 19, "9" * 20, "9" * 5000)
        ),
    ],
)
def test_an_invalid_value_names_its_option(read, text):
    with pytest.raises(UsageError, match="--given: ") as caught:
        read("--given", text)
    assert caught.value.hint
