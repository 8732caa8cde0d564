"""The pipeline for Dagster: one asset per component, a check for the gate, the recipe's schedule.

`convoy ui RECIPE` starts it; a Dagster deployment loads this module with CONVOY_RECIPE set. Assets
call `pipeline.steps` like the command line does, so both share the same artifacts.
"""

import os

import dagster as dg

from convoy.pipeline import config, errors, steps

RECIPE = os.environ.get("CONVOY_RECIPE", "configs/voc_detection.yaml")
WAIT_S = 600.0  # an asset and the check beside it take turns in the run folder
RETRY = dg.RetryPolicy(max_retries=1, delay=10)


def _asset(name: str, upstream: str | None) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=[upstream] if upstream else [],
        group_name="convoy",
        retry_policy=RETRY,
        description=f"convoy component {name}",
    )
    def materialize(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        job = steps.Job(config.load(RECIPE), tell=context.log.info, wait_s=WAIT_S)
        try:
            result = steps.run(job, name)
        except errors.Refused as refusal:
            raise dg.Failure(str(refusal), allow_retries=False) from refusal
        values = {k: v for k, v in result["metrics"].items() if v is not None}
        if name == "example_validator":
            values["verdict"] = result["validation"]["summary"]
        path = result["artifacts"].get(name) or result.get("pushed_path", "")
        return dg.MaterializeResult(
            metadata={"path": path, "cached": name in result["cached"], **values}
        )

    return materialize


assets = [
    _asset(name, before)
    for before, name in zip((None, *steps.NAMES[:-1]), steps.NAMES, strict=True)
]


@dg.asset_check(asset="evaluator", description="The gate: good enough to be pushed?")
def blessed() -> dg.AssetCheckResult:
    job = steps.Job(config.load(RECIPE), wait_s=WAIT_S)
    steps.run(job, "evaluator")
    verdict = steps.verdict(job)
    return dg.AssetCheckResult(passed=verdict["blessed"], metadata={"verdict": verdict["summary"]})


everything = dg.define_asset_job("run_recipe", selection=dg.AssetSelection.all())


def _schedules() -> list[dg.ScheduleDefinition]:
    recipe = config.load(RECIPE)
    if not recipe.schedule:
        return []
    return [
        dg.ScheduleDefinition(
            name=f"{recipe.name.replace('-', '_')}_schedule",
            job=everything,
            cron_schedule=recipe.schedule,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
    ]


definitions = dg.Definitions(
    assets=assets, asset_checks=[blessed], jobs=[everything], schedules=_schedules()
)
