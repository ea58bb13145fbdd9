from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_a_backtest_tells_each_policy_and_plots_them(root: Path, mainspring: Command, tmp_path: Path) -> None:
    policy = tmp_path / "seldom.py"
    policy.write_text('import mainspring as ms\n\nretrain = [ms.OnNewData()]\ncool_down = "90d"\n')
    drawn = tmp_path / "policies.svg"
    said = mainspring("triggers", "backtest", "--policy", str(policy), "--output", str(drawn))
    assert said.code == 0, said.err
    assert "bit for bit" in said.out
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith(("as ", "seldom"))]
    told = mainspring("triggers", "backtest", "tiny", "--json").json
    assert told["found_again"]["differs"] == ""
    assert [each["policy"] for each in told["policies"]] == ["as declared"]


def test_a_policy_that_cannot_be_tried_says_why(root: Path, mainspring: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("retrian = []\n")
    odd = mainspring("triggers", "backtest", "tiny", "--policy", str(tmp_path / "odd.py"))
    assert odd.code == 2
    assert "retrian" in odd.err
    gone = mainspring("triggers", "backtest", "tiny", "--policy", str(tmp_path / "gone.py"))
    assert gone.code == 2
    assert "gone.py" in gone.err
    assert mainspring("triggers", "backtest", "tony").code == 3
