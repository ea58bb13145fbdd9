"""What runs are searched for."""

from __future__ import annotations

from typing import Any

from ask import NAN, NO_RUN, OWN, Asking, plain
from mlflow.entities import Param, ViewType

import mlflow


def runs_found(ask: Asking) -> None:
    client = ask.client
    home, other = client.create_experiment(OWN + "found"), client.create_experiment(OWN + "elsewhere")
    for number, (name, where, loss, params) in enumerate(
        [
            ("alpha", home, 0.5, {"depth": "1", "kind": "tree"}),
            ("beta", home, NAN, {"depth": "2"}),
            ("Gamma", home, 0.1, {"depth": "10", "kind": "Forest"}),
            ("delta", home, None, {}),
            ("epsilon", other, 0.3, {"kind": "tree"}),
        ]
    ):
        run = client.create_run(where, start_time=1000 + number, run_name=name, tags={"n": str(number)})
        run_id = run.info.run_id
        if loss is not None:
            client.log_metric(run_id, "loss", loss, timestamp=1)
            client.log_metric(run_id, "val/loss", loss, timestamp=1)
        client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        if number % 2:
            client.set_terminated(run_id, "FINISHED", 2000 + number)

    def names(text: str = "", where: list[str] | None = None, **asked: Any) -> Any:
        found = client.search_runs(where or [home], text, **asked)
        return {"names": [each.info.run_name for each in found], "more": bool(found.token)}

    for step, text in {
        "everything": "",
        "metric": "metrics.loss > 0.2",
        "metric equal": "metrics.loss = 0.5",
        "metric unequal": "metrics.loss != 0.5",
        "metric quoted": "metrics.`val/loss` <= 0.1",
        "metric in double quotes": 'metric."val/loss" >= 0.1',
        "metric as a text": "metrics.loss > 'x'",
        "metric like": "metrics.loss LIKE '1'",
        "exponent": "metrics.loss < 2e-1",
        "negative": "metrics.loss > -1.5",
        "param": "params.depth = '1'",
        "param unequal": "params.depth != '1'",
        "param in double quotes": 'params.depth = "1"',
        "param like": "params.kind LIKE 'tr%'",
        "param like by case": "params.kind LIKE 'forest'",
        "param ilike": "params.kind ILIKE 'forest'",
        "param underscore": "params.kind LIKE 'tre_'",
        "param as a number": "params.depth = 1",
        "param compared": "params.depth > '1'",
        "param absent": "params.kind IS NULL",
        "param present": "parameter.kind IS NOT NULL",
        "tag": "tags.n = '2'",
        "tag's own key": "tags.mlflow.runName = 'beta'",
        "tag quoted": "tag.`mlflow.runName` LIKE 'b%'",
        "tag absent": "tags.nothing IS NULL",
        "name": "attributes.run_name = 'alpha'",
        "bare name": "run_name LIKE '%a'",
        "name with a space": "attributes.`run name` = 'alpha'",
        "status": "status = 'FINISHED'",
        "status unequal": "attributes.status != 'FINISHED'",
        "started": "start_time >= 1002",
        "created": "attributes.created < 1001",
        "ended": "end_time > 0",
        "user": "user_id = 'nobody'",
        "artifacts": "artifact_uri LIKE '%artifacts'",
        "joined": "metrics.loss > 0.05 AND params.kind LIKE '%e%' and tags.n != '0'",
        "ids": f"run_id IN ('{NO_RUN}')",
        "not ids": f"run_id NOT IN ('{NO_RUN}')",
        "names in": "run_name IN ('alpha', 'beta')",
        "params in": "params.depth IN ('1', '2')",
        "or": "params.depth = '1' OR params.depth = '2'",
        "parentheses": "(params.depth = '1')",
        "unknown attribute": "attributes.color = 'x'",
        "unknown entity": "colors.a = 'x'",
        "semicolon": "params.a = '1';",
        "unclosed": "params.a = '1",
        "no value": "params.a =",
        "no operator": "params.a '1'",
        "values swapped": "'1' = params.a",
        "start as a text": "start_time > '5'",
        "only blanks": "   ",
    }.items():
        ask.note(step, names, text)
    for step, order in {
        "by metric": ["metrics.loss"],
        "by metric, largest first": ["metrics.loss DESC"],
        "by param": ["params.depth ASC"],
        "by tag": ["tags.n DESC"],
        "by name": ["attributes.run_name"],
        "by bare name": ["run_name DESC"],
        "by start": ["start_time ASC"],
        "by end": ["end_time DESC"],
        "by two": ["params.kind DESC", "metrics.loss ASC"],
        "by quoted": ["metrics.`val/loss` DESC"],
        "by nothing known": ["attributes.color"],
        "badly": ["metrics.loss UPWARDS"],
        "by one twice": ["metrics.loss", "metrics.loss DESC"],
        "lower case": ["metrics.loss desc"],
    }.items():
        ask.note(step, names, order_by=order)
    ask.note("two experiments", names, where=[home, other], order_by=["start_time"])
    ask.note("view", names, run_view_type=ViewType.DELETED_ONLY)
    down = {"max_results": 3, "order_by": ["metrics.loss DESC"]}
    first = client.search_runs([home], **down)
    ask.note("page", lambda: [each.info.run_name for each in first])
    ask.note("next page", names, page_token=first.token, **down)
    ask.note("whole run", lambda: plain(client.search_runs([home], "attributes.run_name = 'alpha'")[0]))
    ask.note("as a table", lambda: sorted(mlflow.search_runs([home]).columns))
    ask.note("by the experiment's name", lambda: len(mlflow.search_runs(experiment_names=[OWN + "found"])))
