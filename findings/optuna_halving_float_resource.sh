#!/usr/bin/env bash
# optuna 5.0.0, SuccessiveHalvingPruner(min_resource=10.0): epochs that a recipe keeps as a float.
# Guessed: as with 10, or an error.
# Seen: "auto": a hundredth of the first finished trial's last step, here 1, so that a report at 10
# passes the rungs 1, 3 and 9 at once, where worse trials have nobody to lose against.
#   rungs of five trials, 10: [3, 1, 1, 3, 1]
#   rungs of five trials, 10.0: [3, 3, 3, 3, 1]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'optuna==5.0.0'
"$room/venv/bin/python" - <<'EOF'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
found = {}
for least in (10, 10.0):
    pruner = optuna.pruners.SuccessiveHalvingPruner(least, reduction_factor=3)
    study, reached = optuna.create_study(direction="maximize", pruner=pruner), {}

    def objective(trial):
        value = (0.085, 0.037, 0.065, 0.087, 0.078)[trial.number]
        for step in (10, 30, 90):
            trial.report(value * step, step)
            reached[trial.number] = reached.get(trial.number, 0) + 1
            if step < 90 and trial.should_prune():
                raise optuna.TrialPruned
        return value

    study.optimize(objective, n_trials=5)
    found[isinstance(least, float)] = list(reached.values())
    print(f"rungs of five trials, {least}: {list(reached.values())}")
assert found == {False: [3, 1, 1, 3, 1], True: [3, 3, 3, 3, 1]}, found
EOF
