"""Settings: where they come from, and what a wrong one says."""

from pathlib import Path

import pytest

from pedro_ledger.settings import Settings, SettingsError, environment_name, load_settings, settings_table
from tests.support.places import ROOT


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(environment_name(name), raising=False)


def test_options_come_before_the_environment_the_file_and_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pedro.toml"
    file.write_text('port = 1\nhost = "file"\nmailbox_size_max = 5\n')
    monkeypatch.setenv("PEDRO_PORT", "2")
    monkeypatch.setenv("PEDRO_HOST", "environment")
    settings = load_settings(file, port=3)
    assert (settings.port, settings.host, settings.mailbox_size_max, settings.signup_credits) == (
        3,
        "environment",
        5,
        100,
    )


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PEDRO_PORT", "http", "PEDRO_PORT: "),
        ("PEDRO_PORT", "70000", "PEDRO_PORT: "),
        ("PEDRO_PROT", "1", "PEDRO_PROT is not a setting; did you mean PEDRO_PORT?"),
        ("PEDRO_API_KEY", "short", "PEDRO_API_KEY: "),
        ("PEDRO_LOG_LEVEL", "loud", "PEDRO_LOG_LEVEL: "),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)
    assert "short" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("prot = 1", "did you mean port"), ("port = ", "is not TOML"), ('port = "x"', "PEDRO_PORT: ")],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "pedro.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        load_settings(file)
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "missing.toml")


def test_the_example_has_every_setting_with_its_default() -> None:
    example = (ROOT / "config" / "pedro-ledger.toml").read_text()
    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n# {name} = " in example, name
    assert len(settings_table()) == len(Settings.model_fields)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("PEDRO_API_KEY", "hunter2-hunter2-hunter2")
    assert "hunter2" not in repr(load_settings())
