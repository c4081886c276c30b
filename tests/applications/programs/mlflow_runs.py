"""Three threads log a run each at mlflow's server, and read all of them."""

import os
from concurrent.futures import ThreadPoolExecutor

from mlflow.tracking import MlflowClient

client = MlflowClient(f"http://127.0.0.1:{os.environ['PORT']}")
experiment = client.get_experiment_by_name("cars") or client.get_experiment(client.create_experiment("cars"))


def train(number):
    """Log one run."""
    run = client.create_run(experiment.experiment_id)
    client.log_param(run.info.run_id, "number", number)
    for step in range(5):
        client.log_metric(run.info.run_id, "loss", 1 / (step + 1), step=step)
    client.set_terminated(run.info.run_id)


with ThreadPoolExecutor(3) as executor:
    list(executor.map(train, range(3)))
print(len(client.search_runs([experiment.experiment_id])), "runs")
