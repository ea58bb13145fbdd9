"""Settings: the environment wins over the file, and every fault is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainspring.errors import Faults
from mainspring.settings import Settings
from mainspring.sinks.route import Email, PagerDuty, Slack, Stdout, Webhook


def load(root: Path, toml: str, **environment: str) -> Settings:
    (root / "mainspring.toml").write_text(toml)
    return Settings.load(root, {f"MAINSPRING_{name.upper()}": text for name, text in environment.items()})


def faults(root: Path, toml: str, **environment: str) -> dict[str, str]:
    with pytest.raises(Faults) as refused:
        load(root, toml, **environment)
    return {fault.where: str(fault) for fault in refused.value.faults}


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    assert settings == Settings(root=tmp_path.resolve())
    assert not settings.driven
    assert settings.database_url == f"sqlite:///{tmp_path.resolve()}/.mainspring/state.db"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    toml = 'port = 9000\nhost = "0.0.0.0"\ninterval_s = 1\n'
    settings = load(tmp_path, toml, port="9100", seed="7", clock="2013-01-01T00:00:00Z")
    assert (settings.port, settings.host, settings.seed, settings.driven) == (9100, "0.0.0.0", 7, True)
    assert settings.interval_s == 1.0
    assert isinstance(settings.interval_s, float)


def test_a_moment_may_be_written_as_toml_has_it(tmp_path: Path) -> None:
    assert load(tmp_path, "clock = 2013-01-01T00:00:00Z").driven


def test_a_replay_cannot_have_answers_ahead_of_the_log(tmp_path: Path) -> None:
    assert load(tmp_path, "log_window_s = 0.05").log_window_s == 0.05
    toml = "log_window_s = 0.05\nclock = 2013-01-01T00:00:00Z"
    assert "a replay counts each answer" in faults(tmp_path, toml)["log_window_s"]


def test_the_online_store_is_beside_the_state_or_where_its_address_says(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    assert load(tmp_path, "").online_url == f"sqlite:///{root}/.mainspring/online.db"
    assert (
        load(tmp_path, 'online_store = "sqlite:///features.db"').online_url == f"sqlite:///{root}/features.db"
    )
    assert load(tmp_path, 'online_store = "sqlite:////data/x.db"').online_url == "sqlite:////data/x.db"
    assert load(tmp_path, "", online_store="redis://cache/3").online_url == "redis://cache/3"
    told = faults(tmp_path, "", online_store="mysql://ana:secret@host/x")["online_store"]
    assert "begins with one of sqlite:///, postgresql://, redis://" in told
    assert "secret" not in told


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    toml = 'prot = 8500\nport = "many"\nclock = "noon"\ninterval_s = 0\nhost = ["here"]\n'
    told = faults(tmp_path, toml, gateway_port="70000")
    assert told.keys() == {"prot", "port", "clock", "interval_s", "host", "gateway_port"}
    assert "There are:" in told["prot"]
    assert "port" in told["prot"]
    assert "whole number" in told["port"]
    assert "2013-02-01T03:00:00Z" in told["clock"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("grpc_port", value) for value in ("true", "65536", '""')),
        *(("port", value) for value in ("8500.5", "true", "-1", "65536", "inf", '"1e3"', "[]")),
        *(("interval_s", value) for value in ("0", "-1.5", "inf", "nan", "false", '"soon"')),
        *(("log_window_s", value) for value in ("-0.1", "nan", "61", '"50ms"')),
        *(("seed", value) for value in ("1.0", "nan", '""')),
        *(("host", value) for value in ("1", "true")),
        *(("database", value) for value in ("1", "{}")),
        *(("clock", value) for value in ('""', '"2013-01-01"', "2013-01-01", "2013-01-01T00:00:00", "3")),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused_by_its_name(
    tmp_path: Path, name: str, value: str
) -> None:
    assert faults(tmp_path, f"{name} = {value}").keys() == {name}


def test_a_file_that_is_no_toml_is_told_as_one_fault(tmp_path: Path) -> None:
    assert "no valid TOML" in faults(tmp_path, "port = = 8500")["file"]
    (tmp_path / "mainspring.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Faults, match="no valid TOML"):
        Settings.load(tmp_path, {})


def test_product_files_are_the_one_or_all_of_the_folder(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    assert [file.name for file in settings.product_files] == [
        "product.py"
    ]  # the one that is missing is named
    folder = tmp_path / "products"
    folder.mkdir()
    for name in ("b.py", "a.py", "_shared.py", "notes.txt"):
        (folder / name).touch()
    assert [file.name for file in settings.product_files] == ["a.py", "b.py"]
    (tmp_path / "product.py").touch()
    assert [file.name for file in settings.product_files] == ["product.py", "a.py", "b.py"]


def test_the_code_of_a_workspace_is_its_product_files_and_what_lies_beside_them(tmp_path: Path) -> None:
    written = [
        "product.py",
        "helpers.py",
        "shop/__init__.py",
        "shop/deep/rates.py",
        "products/late.py",
        "products/_x.py",
    ]
    for name in (
        *written,
        ".venv/lib/polars/__init__.py",
        ".mainspring/old.py",
        "notes/draft.py",
        "shop/data.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    settings = Settings.load(tmp_path, {})
    found = [str(file.relative_to(settings.root)) for file in settings.code_files]
    assert found == sorted(written, key=lambda name: settings.root / name)


def test_one_gateway_follows_a_driven_clock(tmp_path: Path) -> None:
    (tmp_path / "mainspring.toml").write_text('clock = "2013-02-01T00:00:00Z"\ngateways = 2\n')
    with pytest.raises(Faults, match="drives the clock of one gateway only"):
        Settings.load(tmp_path, {})


OPS = '[alerts.ops]\nto = "slack"\nurl = "${OPS_SLACK_URL}"\n'


def test_alert_routes_are_tables_and_in_the_environment_json(tmp_path: Path) -> None:
    settings = load(tmp_path, OPS + '[alerts.log]\nto = "stdout"\nevery = "1h"\n')
    assert settings.alerts == {"ops": Slack(url="${OPS_SLACK_URL}"), "log": Stdout(every="1h")}
    settings = load(tmp_path, OPS, alerts='{"mine": {"to": "stdout"}}')
    assert settings.alerts == {"mine": Stdout()}
    assert load(tmp_path, "").alerts == {}


def test_settings_do_not_print_what_may_be_a_secret(tmp_path: Path) -> None:
    given = '[alerts.ops]\nto = "slack"\nurl = "https://hooks.example.org/secret"\n'
    assert "secret" not in repr(load(tmp_path, given))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "to"),
        ('to = "pigeon"', "pigeon"),
        ('to = "slack"', "url"),
        ('to = "slack"\nurl = "ftp://x"', "no address of a web server"),
        ('to = "slack"\nurl = "https://x"\nchannel = "ops"', "channel"),
        ('to = "stdout"\nevery = "often"', "not a duration"),
        ('to = "stdout"\ntimeout_s = 0', "at most 60"),
        ('to = "stdout"\ntimeout_s = nan', "at most 60"),
        ('to = "webhook"\nurl = "https://x"\nsecret = "whsec_?"', "no base64"),
        ('to = "email"\nserver = "smtp"\nsender = "a@b"\nrecipients = ["c@d"]', "HOST:PORT"),
        ('to = "email"\nserver = "s:25"\nsender = "a@b"\nrecipients = []', "recipients"),
        ('to = "email"\nserver = "s:25"\nsender = "a@b"\nrecipients = ["c@d, e@f"]', "no mail address"),
        (
            'to = "email"\nserver = "s:25"\nsender = "a@b"\nrecipients = ["c@d"]\n'
            'user = "u"\npassword = "p"\nsecurity = "none"',
            "plain text",
        ),
    ],
)
def test_a_route_that_is_not_as_described_is_told_by_its_name(tmp_path: Path, table: str, told: str) -> None:
    found = faults(tmp_path, f"[alerts.ops]\n{table}\n")
    assert found.keys() == {"alerts.ops"}
    assert told in found["alerts.ops"]


@pytest.mark.parametrize(
    "given", ["alerts = 1", 'alerts = ["ops"]', "alerts.ops = 1", "[alerts.'../x']\nto = 'stdout'"]
)
def test_routes_that_are_no_tables_or_have_no_name_are_told(tmp_path: Path, given: str) -> None:
    assert len(faults(tmp_path, given)) == 1


@pytest.mark.parametrize("given", ["", "{", "[]", '{"ops": 1}'])
def test_routes_in_the_environment_that_are_no_json_are_told(tmp_path: Path, given: str) -> None:
    assert faults(tmp_path, "", alerts=given).keys() == {"alerts"}


def test_the_address_of_the_pages_is_that_of_the_server_unless_it_is_said(tmp_path: Path) -> None:
    assert load(tmp_path, "").pages == "http://127.0.0.1:8500"
    assert load(tmp_path, 'page_url = "https://ml.example.org/"').pages == "https://ml.example.org"
    assert "https://" in faults(tmp_path, 'page_url = "ml.example.org"')["page_url"]


def test_the_routes_of_the_guide_are_as_settings_take_them(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text()
    _, _, rest = guide.partition("```toml\n")
    settings = load(tmp_path, rest.partition("```")[0])
    assert {type(route).__name__ for route in settings.alerts.values()} == {
        each.__name__ for each in (Slack, Webhook, Email, PagerDuty, Stdout)
    }
