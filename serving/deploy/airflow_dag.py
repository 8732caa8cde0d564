"""A recipe every night by Airflow 3: one task per verb of `convoy`, which share their artifacts.

Copy this file into Airflow's dags folder and set the three names below. Convoy need not be
installed where Airflow is, only where its tasks run; the tasks must share the recipe's run folder.

What ends with 3 was refused by the data's checks (validate: the night has failed) or by the gate
(export: the model is not better, what follows is skipped, and the night has not failed). A task
that was killed goes on where it was when Airflow tries it again.
"""

from __future__ import annotations

import datetime
import shlex

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

CONVOY = "/opt/convoy/.venv/bin/convoy"
RECIPE = "/opt/convoy/configs/voc_detection.yaml"
FOLDER = "/opt/convoy"  # where relative paths of the recipe begin

REFUSED = 3
VERBS = ("ingest", "validate", "train", "evaluate", "export", "verify", "push")

with DAG(
    dag_id="convoy",
    description="raw pictures to a pushed model, if it is better than the one that serves",
    schedule="0 3 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    catchup=False,
    max_active_runs=1,  # one run per run folder: a second one would end with 1
    default_args={"retries": 2, "retry_delay": datetime.timedelta(minutes=5)},
    tags=["convoy"],
) as dag:
    before = None
    for verb in VERBS:
        task = BashOperator(
            task_id=verb,
            bash_command=f"exec {shlex.join([CONVOY, verb, RECIPE])} --json",
            cwd=FOLDER,
            skip_on_exit_code=REFUSED if verb == "export" else None,
        )
        if before is not None:
            before >> task
        before = task
