from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_power_says_what_is_found_and_what_reference_would_do(root: Path, mainspring: Command) -> None:
    said = mainspring("power", "tiny", "--rise", "0.1", "--labels-per-day", "200")
    assert said.code == 0
    assert (
        "reference labels and 200 a day, a mean log_loss that rises by 0.4 is found with probability"
        in said.out
    )
    [told] = mainspring("power", "tiny@1", "--rise", "0.1", "--labels-per-day", "200", "--json").json
    assert told["version"] == "tiny@1"
    assert told["probability"] == 1.0
    assert told["half_within"] <= 400
    assert told["reference_for_90"] <= told["reference_labels"]


def test_power_that_cannot_be_told_says_why(root: Path, mainspring: Command) -> None:
    unknown = mainspring("power", "tiny")
    assert unknown.code == 2
    assert "--labels-per-day" in unknown.err
    assert mainspring("power", "tiny", "--labels-per-day", "0").code == 2
    far = mainspring("power", "tiny", "--labels-per-day", "9", "--rise", "2")
    assert far.code == 2
    assert "cannot rise by 2" in far.err
    assert mainspring("power", "tony", "--labels-per-day", "9").code == 3
    assert mainspring("power", "tiny@7", "--labels-per-day", "9").code == 3


def test_power_is_told_of_every_metric_that_is_watched(root: Path, mainspring: Command) -> None:
    text = (root / "product.py").read_text()
    watched = 'ms.Quality("recall"), ms.Quality("accuracy", slices=("kind",)), ms.Quality("roc_auc"),'
    (root / "product.py").write_text(text.replace("    monitors=[", f"    monitors=[{watched}"))
    assert mainspring("train", "tiny", "--reason", "to keep the scores").code == 0
    told = mainspring("power", "tiny@1", "--rise", "0.1", "--labels-per-day", "200", "--json").json
    named = {each["metric"]: each for each in told}
    assert named.keys() == {"1 - recall", "1 - accuracy", "1 - roc_auc", "log_loss"}
    for each in told:
        assert 0 <= each["probability"] <= 1
        assert (each["labels_per_day"], each["rise"]) == (200, 0.1)
    # Only late orders count for recall, so that it takes more labels.
    assert named["1 - recall"]["probability"] < named["1 - accuracy"]["probability"]
