"""A scikit-learn script: a decorator makes a run of the call, of its arguments and of the figures that it returns."""

import argparse

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from repro_assets import Experiment, reproducible


@reproducible("scikit-learn")
def fit(folds: int, strengths: list[float], seed: int = 0) -> dict[str, float]:
    """Choose the strength of a penalty by cross-validation, and return how good the chosen one is."""
    run = Experiment.current()
    wine = run.use_value(load_wine(as_frame=True).frame, "wine")
    train, test = train_test_split(wine, test_size=0.25, stratify=wine["target"], random_state=seed)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": strengths}, cv=folds
    )
    search.fit(train.drop(columns="target"), train["target"])
    run.log_params(search.best_params_)
    run.log_table({name: search.cv_results_[name] for name in ("mean_test_score", "std_test_score")}, "folds")
    classifier = search.best_estimator_[-1]
    run.log_artifact({"coef": classifier.coef_, "intercept": classifier.intercept_}, "wine-classifier")
    return {
        "cross_validation": search.best_score_,
        "test": search.score(test.drop(columns="target"), test["target"]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folds", type=int, nargs="?", default=3, choices=range(2, 11), help="of the cross-validation")
    for name, value in fit(parser.parse_args().folds, [0.01, 0.1, 1.0]).items():
        print(name, value)
