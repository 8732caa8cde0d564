"""Reads the files for schedulers with the schedulers' own packages; prints JSON.

Run by a Python that has apache-airflow>=3 and kubernetes-validate, neither of which Convoy needs:
    python schedulers.py dag airflow_dag.py
    python schedulers.py kubernetes cronjob.yaml
"""

import json
import pathlib
import sys


def dag(path: str) -> dict:
    """The tasks of the file's only DAG, and what becomes of them when their command ends with 3."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(path)
    (found,) = bag.dags.values() if not bag.import_errors else ({},)
    if bag.import_errors:
        return {"errors": bag.import_errors}
    tasks = {}
    for task in found.topological_sort():
        said = task.bash_command
        task.bash_command, task.cwd = "exit 3", None
        try:
            task.execute({})
            ended = "success"
        except Exception as error:
            ended = type(error).__name__
        upstream = sorted(task.upstream_task_ids)
        tasks[task.task_id] = {"command": said, "after": upstream, "refused": ended}
    return {"id": found.dag_id, "schedule": str(found.schedule), "tasks": tasks}


def kubernetes(path: str) -> dict:
    """{kind: schema's version} of the documents that are valid to the last key."""
    import kubernetes_validate
    import yaml

    documents = yaml.safe_load_all(pathlib.Path(path).read_text())
    version = kubernetes_validate.latest_version()
    return {
        document["kind"]: kubernetes_validate.validate(document, version, strict=True)
        for document in documents
    }


if __name__ == "__main__":
    print(json.dumps({"dag": dag, "kubernetes": kubernetes}[sys.argv[1]](sys.argv[2])))
