from undivided.cli.output import size, table, text


def test_columns_are_aligned_and_numbers_to_the_right():
    assert table(["NAME", "SIZE "], [["a", "1 B"], ["long", "10 B"]]) == [
        "NAME  SIZE",
        "a      1 B",
        "long  10 B",
    ]


def test_no_name_of_a_file_can_drive_a_terminal():
    assert text(b"a\x1b[31m\nb\xff") == "a\\x1b[31m\\nb\\xff"
    assert text("ä/ö".encode()) == "ä/ö"


def test_sizes_are_short():
    assert [size(n) for n in (0, 1023, 1536, 5 << 20, 700 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 MiB",
        "700 GiB",
    ]
