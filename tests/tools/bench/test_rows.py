import pytest

from pedro_ledger.tools.bench.rows import ROWS, choose


def names(*groups: str) -> list[str]:
    return [row.name for row in choose(list(groups))]


def test_a_group_is_all_its_rows() -> None:
    assert names("single") == ["single-64", "single-256"]


def test_rows_come_in_the_order_of_the_table() -> None:
    assert names("hot", "echo") == ["echo", "hot"]


def test_what_only_means_something_beside_others_brings_them() -> None:
    assert names("cpu") == ["echo", "single-64", "single-256"]
    assert names("lots") == ["single-64", "single-256", "lots"]
    assert names("holds") == ["single-own", "hold+capture"]
    assert names("size") == ["single-64", "single-256", "size-single"]


def test_an_unknown_row_is_named() -> None:
    with pytest.raises(ValueError, match="'triple'"):
        choose(["triple"])


def test_names_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
