"""An optuna study in relational storage, with three threads of trials; it ends by itself."""

import os

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
storage = os.environ.get("STORAGE", "sqlite:///study.db").replace("postgresql://", "postgresql+psycopg2://")


def objective(trial: optuna.Trial) -> float:
    """Give something to make small."""
    return (trial.suggest_float("x", -10, 10) - 2) ** 2


study = optuna.create_study(storage=storage, study_name="cars", load_if_exists=True)
study.optimize(objective, n_trials=9, n_jobs=3)
print(len(study.trials), "trials", flush=True)
again = optuna.load_study(study_name="cars", storage=storage)
print("best", again.best_value >= 0, flush=True)
