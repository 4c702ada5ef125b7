"""What every command writes where: a machine reads standard output, and standard error too."""

import orjson

from tests.support.processes import command


async def test_a_renamed_setting_is_told_in_the_log_and_spoils_no_output(database_url: str) -> None:
    status, out, err = await command("verify", "--json", DATABASE_URL=database_url, PEDRO_REPORTS_FOLD_S="7")
    assert status == 0
    assert orjson.loads(out)["problems"] == []
    told = orjson.loads(err)
    assert (told["event"], told["level"]) == ("setting_renamed", "warning")
    assert (told["old"], told["new"]) == ("PEDRO_REPORTS_FOLD_S", "PEDRO_ROLLUP_INTERVAL_S")


async def test_no_progress_is_drawn_where_nobody_looks(database_url: str) -> None:
    status, out, err = await command("verify", DATABASE_URL=database_url)
    assert (status, err) == (0, "")
    assert out.endswith("the books are in order\n")
    assert out.count("\n") == 1
