"""`convoy tune`: what is tried, how long, what is left; a formula stands for the trainings."""

from __future__ import annotations

import json
import math
import pathlib

import pytest

from convoy.pipeline import cli, config, errors
from convoy.pipeline.tools.tune import search, space

pytest.importorskip("optuna")
EPOCHS = 90


def recipe(tmp_path, **changes) -> config.Recipe:
    raw = {
        "name": "birds",
        "task": "classification",
        "run_dir": str(tmp_path / "run"),
        "data": {"format": "folder", "path": "pictures", "val": "val", "test": "test"},
        "model": {"name": "resnet18", "input_size": [32, 32]},
        "train": {"epochs": EPOCHS},
    }
    for key, value in changes.items():
        config.override_key(raw, f"{key.replace('__', '.')}={json.dumps(value)}")
    return config.parse(raw)


def peak(changed: config.Recipe, _: pathlib.Path) -> float:
    """Best at a rate of 0.003; more epochs show more of it."""
    far = abs(math.log10(changed.train.learning_rate) - math.log10(3e-3))
    return changed.train.epochs / EPOCHS * math.exp(-far)


class Asked:
    """A measure that keeps what it was asked about."""

    def __init__(self, measure=peak):
        self.measure, self.seen = measure, []

    def __call__(self, changed, place):
        self.seen.append((changed.train.learning_rate, changed.train.epochs, place))
        return self.measure(changed, place)


def run(tmp_path, words, measure=peak, trials=9, halving=True, **changes) -> dict:
    one = recipe(tmp_path, **changes)
    return search.run(
        one,
        space.parse(words, one),
        tmp_path / "tune",
        trials=trials,
        halving=halving,
        tell=lambda line: None,
        measure=measure,
    )


def test_values_are_read_as_they_are_written(tmp_path):
    words = [
        "train.learning_rate=1e-4..1e-2:log",
        "model.dropout=0..0.5",
        "train.batch_size=8..64",
        "train.optimizer=adamw, sgd",
        "model.input_size=[[32,32],[64,64]]",
    ]
    found = space.parse(words, recipe(tmp_path))
    assert found == {
        "train.learning_rate": space.Range(1e-4, 1e-2, True),
        "model.dropout": space.Range(0.0, 0.5, False),
        "train.batch_size": space.Range(8, 64, False),
        "train.optimizer": space.Choice(('"adamw"', '"sgd"')),
        "model.input_size": space.Choice(("[32, 32]", "[64, 64]")),
    }
    assert isinstance(found["train.batch_size"].low, int)
    assert space.size(found) is None
    assert space.size({key: found[key] for key in ("train.optimizer", "model.input_size")}) == 4


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("train.learning_rate", "expected section.key=A..B"),
        ("train.learning_rate=", "expected section.key=A..B"),
        ("train.learning_rate=0.1..0.01", "smaller number first"),
        ("train.learning_rate=0..0.1:log", "a log scale has no 0"),
        ("train.optimizer=sgd", "two values or more"),
        ("train.optimizer=[sgd,", "not values as YAML writes them"),
        ("train.epochs=1..5", "what trials are compared by"),
        ("data.val=val,test", "what trials are compared by"),
    ],
)
def test_words_that_say_no_values(tmp_path, word, says):
    with pytest.raises(errors.UsageError, match=says):
        space.parse([word], recipe(tmp_path))


def test_a_key_or_a_value_that_the_recipe_does_not_take_is_told_before_anything_is_trained(
    tmp_path,
):
    with pytest.raises(errors.ConfigError, match=r"did you mean .*learning_rate"):
        space.parse(["train.learning_rat=1e-4..1e-2"], recipe(tmp_path))
    with pytest.raises(errors.ConfigError, match="optimizer"):
        space.parse(["train.optimizer=adamw,adamm"], recipe(tmp_path))
    with pytest.raises(errors.UsageError, match="is there twice"):
        space.parse(["model.dropout=0..0.1", "model.dropout=0..0.2"], recipe(tmp_path))


def test_every_combination_is_tried_once_where_there_are_few(tmp_path):
    words = ["train.learning_rate=0.001,0.003,0.01", "train.optimizer=adamw,sgd"]
    asked = Asked()
    result = run(tmp_path, words, asked, trials=20, halving=False)
    assert len(asked.seen) == len(result["trials"]) == 6
    values = {tuple(row["values"].values()) for row in result["trials"]}
    assert values == {(r, o) for r in (0.001, 0.003, 0.01) for o in ("adamw", "sgd")}
    assert result["best"]["values"]["train.learning_rate"] == 0.003
    assert result["best"]["top1"] == pytest.approx(1.0)


def test_the_worse_trials_are_stopped_early(tmp_path):
    """By Li's rule by hand: a trial goes on where it is in the best third at its rung so far."""
    asked = Asked()
    result = run(tmp_path, ["train.learning_rate=1e-5..1:log"], asked, trials=12)
    assert search.rungs(recipe(tmp_path)) == [10, 30, 90]
    at = {10: [], 30: [], 90: []}
    for rate, epochs, _ in asked.seen:
        at[epochs].append(rate)
    assert len(at[10]) == 12
    for low, high in ((10, 30), (30, 90)):
        score: list[float] = []
        expected = []
        for rate in at[low]:
            score.append(peak(recipe(tmp_path, train__learning_rate=rate, train__epochs=low), None))
            best = sorted(score, reverse=True)[: max(1, len(score) // 3)]
            expected += [rate] if score[-1] >= best[-1] else []
        assert at[high] == expected
    states = [row["state"] for row in result["trials"]]
    assert states.count("trained") == len(at[90]) < 12
    assert states.count("stopped early") == 12 - len(at[90])
    assert abs(math.log10(result["best"]["values"]["train.learning_rate"] / 3e-3)) < 1


def test_trials_are_judged_on_val_and_the_best_recipe_on_its_own_split(tmp_path):
    seen = []

    def measure(changed, place):
        seen.append((changed.data.test, changed.run_dir, changed.push.model_dir))
        return peak(changed, place)

    result = run(tmp_path, ["train.learning_rate=0.001,0.003"], measure, halving=False)
    assert {row[0] for row in seen} == {"val"}
    assert len({row[1] for row in seen}) == 2
    best = config.load(result["recipe"])
    assert (best.data.test, best.train.epochs) == ("test", EPOCHS)
    assert (best.train.learning_rate, best.run_dir) == (0.003, str(tmp_path / "run"))
    assert json.loads((tmp_path / "tune" / "tune.json").read_text()) == result


def test_a_search_that_was_stopped_goes_on(tmp_path):
    words = ["train.learning_rate=1e-4..1e-1:log"]
    asked = Asked()

    def stops(changed, place):
        if len(asked.seen) == 4:
            raise errors.Interrupted("stopped")
        return asked(changed, place)

    with pytest.raises(errors.Interrupted):
        run(tmp_path, words, stops, trials=6, halving=False)
    before = [rate for rate, *_ in asked.seen]
    result = run(tmp_path, words, asked, trials=6, halving=False)
    rates = [rate for rate, *_ in asked.seen]
    assert rates[:4] == before
    assert len(rates) == len(set(rates)) == len(result["trials"]) == 6
    again = run(tmp_path, words, asked, trials=6, halving=False)
    assert len(asked.seen) == 6
    assert again["trials"] == result["trials"]
    more = run(tmp_path, words, asked, trials=8, halving=False)
    assert len(more["trials"]) == 8


def test_what_was_tried_half_way_is_tried_first(tmp_path):
    words = ["train.learning_rate=1e-4..1e-1:log"]
    seen = []

    def killed(changed, place):
        seen.append(changed.train.learning_rate)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, words, killed, trials=3, halving=False)
    asked = Asked()
    run(tmp_path, words, asked, trials=3, halving=False)
    assert asked.seen[0][0] == seen[0]
    assert len(asked.seen) == 3


def test_another_search_in_the_same_folder_is_refused(tmp_path):
    run(tmp_path, ["train.learning_rate=0.001,0.003"], halving=False)
    with pytest.raises(errors.UsageError, match="a search with another space"):
        run(tmp_path, ["train.learning_rate=0.001,0.01"], halving=False)
    with pytest.raises(errors.UsageError, match="another recipe"):
        run(tmp_path, ["train.learning_rate=0.001,0.003"], halving=False, train__batch_size=8)
    with pytest.raises(errors.UsageError, match="another recipe"):
        run(tmp_path, ["train.learning_rate=0.001,0.003"], halving=False, name="cats")


def test_trials_that_fail_are_told_and_the_others_go_on(tmp_path):
    def measure(changed, place):
        if changed.train.learning_rate > 0.002:
            raise search.TrialFailed("loss is not finite at step 7")
        return peak(changed, place)

    result = run(tmp_path, ["train.learning_rate=0.001,0.003"], measure, halving=False)
    states = {row["values"]["train.learning_rate"]: row["state"] for row in result["trials"]}
    assert states == {0.001: "trained", 0.003: "failed"}
    assert "loss is not finite at step 7" in search.text(result)

    def never(changed, place):
        raise search.TrialFailed("no such network")

    with pytest.raises(ValueError, match="none of 2 trials could be trained: no such network"):
        run(tmp_path / "b", ["train.learning_rate=0.001,0.003"], never, halving=False)


def test_without_a_split_to_choose_by_the_test_split_judges_and_that_is_said(tmp_path):
    one, told, seen = recipe(tmp_path, data__val=None), [], []

    def measure(changed, place):
        seen.append(changed.data.test)
        return peak(changed, place)

    parsed = space.parse(["train.learning_rate=0.001,0.003"], one)
    how = {"trials": 2, "halving": False, "tell": told.append, "measure": measure}
    search.run(one, parsed, tmp_path / "tune", **how)
    assert seen == ["test", "test"]
    assert "no data.val: trials are judged on data.test, test" in told[0]


def test_nothing_to_search(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text(config.dump(recipe(tmp_path)))
    assert cli.main(["convoy", "tune", str(path)]) == errors.USAGE
    assert "expected --try section.key=values" in capsys.readouterr().err
