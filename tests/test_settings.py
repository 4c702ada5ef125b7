"""Settings: where they come from, and what a wrong one says."""

import re
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest

from pedro_ledger.cli.base import settings_or_fail
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
        ("PEDRO_CORS_ORIGINS", "*", "PEDRO_CORS_ORIGINS: * is no origin"),
        ("PEDRO_CORS_ORIGINS", "https://a.example, https://b.example/", "PEDRO_CORS_ORIGINS: https://b.example/ is no"),
        ("PEDRO_CORS_ORIGINS", "app.example.com", "PEDRO_CORS_ORIGINS: "),
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


KUBERNETES = {
    "PEDRO_LEDGER_SERVICE_HOST": "10.96.0.7",
    "PEDRO_LEDGER_SERVICE_PORT": "8080",
    "PEDRO_LEDGER_SERVICE_PORT_HTTP": "8080",
    "PEDRO_LEDGER_PORT": "tcp://10.96.0.7:8080",
    "PEDRO_LEDGER_PORT_8080_TCP": "tcp://10.96.0.7:8080",
    "PEDRO_LEDGER_PORT_8080_TCP_ADDR": "10.96.0.7",
    "PEDRO_SERVICE_HOST": "10.96.0.8",
    "PEDRO_SERVICE_PORT": "8080",
    "PEDRO_PORT": "tcp://10.96.0.8:8080",
    "PEDRO_PORT_8080_TCP": "tcp://10.96.0.8:8080",
    "PEDRO_PORT_8080_TCP_PROTO": "tcp",
    "PEDRO_PORT_8080_TCP_PORT": "8080",
    "PEDRO_PORT_8080_TCP_ADDR": "10.96.0.8",
}
"""What Kubernetes puts into every container beside the services `pedro-ledger` and `pedro`."""


def test_what_kubernetes_injects_for_a_service_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == Settings.model_fields["port"].default
    assert load_settings(port=3).port == 3
    file = tmp_path / "pedro.toml"
    file.write_text("port = 4\n")
    assert settings_or_fail(file).port == 4
    told = capsys.readouterr()
    assert told.out == ""
    line = orjson.loads(told.err)
    assert (line["event"], line["level"], line["names"]) == ("service_variables_ignored", "info", sorted(KUBERNETES))


@pytest.mark.parametrize(
    ("name", "value"),
    [("PEDRO_PORTS", "tcp://10.96.0.8:8080"), ("PEDRO_LEDGER_PORT", "8080"), ("PEDRO_SERVICE_HOSTS", "x")],
)
def test_what_only_resembles_a_service_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is not a setting"):
        load_settings()


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


def examples() -> dict[str, Any]:
    """What `config/pedro-ledger.toml` shows for each setting, uncommented."""
    example = (ROOT / "config" / "pedro-ledger.toml").read_text()
    return tomllib.loads("\n".join(re.findall(r"^# (\w+ = .*)$", example, re.MULTILINE)))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_has_every_setting_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    example = (ROOT / "config" / "pedro-ledger.toml").read_text()
    assert f"# {field.description}\n# {name} = " in example
    if field.default is not None and field.default_factory is None:
        assert examples()[name] == field.default


def test_the_example_names_nothing_else_and_can_be_used_as_it_stands(tmp_path: Path) -> None:
    assert set(examples()) == set(Settings.model_fields)
    assert len(settings_table()) == len(Settings.model_fields)
    file = tmp_path / "pedro.toml"
    file.write_text(
        "\n".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in examples().items() if value != "")
    )
    assert load_settings(file).port == examples()["port"]


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("PEDRO_API_KEY", "hunter2-hunter2-hunter2")
    assert "hunter2" not in repr(load_settings())
