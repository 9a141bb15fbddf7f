from undivided.cli.output import long_table, size, table


def test_columns_are_aligned_and_numbers_to_the_right():
    assert table(["NAME", "SIZE "], [["a", "1 B"], ["long", "10 B"]]) == [
        "NAME  SIZE",
        "a      1 B",
        "long  10 B",
    ]


def test_rows_that_arrive_one_by_one_are_aligned_like_a_table_and_only_get_wider():
    rows = [["a", "1 B"], ["long", "10 B"]]
    assert list(long_table(["NAME", "SIZE "], iter(rows))) == table(["NAME", "SIZE "], rows)
    many = list(long_table(["N"], ([str(n)] for n in range(1200))))
    assert many == ["N", *map(str, range(1200))]
    assert list(long_table(["N"], iter([]))) == []


def test_sizes_are_short():
    assert [size(n) for n in (0, 1023, 1536, 5 << 20, 700 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 MiB",
        "700 GiB",
    ]
