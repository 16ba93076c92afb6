"""The registry of a team that uses it: models with a past, prompts, and a real model's files."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from registry_core import Registry

MINUTE, HOUR, DAY = 60, 3_600, 86_400

CARD = """Probability that a customer leaves within 90 days, scored nightly for the retention team.
Trained on 24 months of contracts, without customers in notice. **Not for pricing**: it knows nothing
of tariffs.

- holdout AUC 0.87, stable over the last six weeks
- owners: Retention, on call in `#churn-oncall`
"""

MODELS = (
    ("card-fraud", "Blocks card payments before authorisation.", {"team": "payments", "tier": "1"}),
    ("demand-forecast", "Units per store and week, 12 weeks ahead.", {"team": "supply"}),
    ("credit-limit", "Proposed limit for new accounts.", {"team": "risk", "tier": "1"}),
    ("next-best-offer", "Ranks offers in the app.", {"team": "growth"}),
    ("doc-classifier", "Routes scanned letters to departments.", {"team": "ops", "lang": "de, en"}),
    ("delivery-eta", "Minutes until a courier arrives.", {"team": "logistics"}),
    ("price-elasticity", "Demand against price for each article.", {"team": "pricing"}),
)


class Calendar:
    """The store's clock, which can be set back to when something is to have happened."""

    def __init__(self) -> None:
        self.back = 0.0

    def __call__(self) -> int:
        return round((time.time() - self.back) * 1000)

    def ago(self, seconds: float) -> None:
        """From now on it is so many seconds ago."""
        self.back = seconds


def fill(registry: Registry, calendar: Calendar, place: Path) -> None:
    """Makes the team's registry; the real model is saved below `place`."""
    model = _saved(place / "model")
    _others(registry, calendar)
    _churn(registry, calendar, model, place)
    _prompts(registry, calendar)
    _deleted(registry, calendar)
    calendar.ago(0)


def _saved(folder: Path) -> Path:
    """A logistic regression on two features, as MLflow saves it."""
    import mlflow
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    features = pd.DataFrame(
        {"tenure_months": [1.0, 30.0, 4.0, 50.0], "monthly_charge": [80.0, 20.0, 70.0, 25.0],
         "support_calls": [5.0, 0.0, 3.0, 1.0]}
    )  # fmt: skip
    fitted = LogisticRegression().fit(features, [1, 0, 1, 0])
    signature = mlflow.models.infer_signature(features, fitted.predict(features))
    mlflow.sklearn.save_model(
        fitted,
        folder,
        signature=signature,
        pip_requirements=["scikit-learn==1.7.2", "pandas==2.3.3"],
    )
    return folder


def _others(registry: Registry, calendar: Calendar) -> None:
    train = registry.acting_as("ci-train")
    people = [registry.acting_as(name) for name in ("ann", "ben", "mei", "joao")]
    for place, (name, description, tags) in enumerate(MODELS):
        calendar.ago((90 - 7 * place) * DAY)
        people[place % 4].create_registered_model(name, description=description, tags=tags)
        for number in range(1, 4 + place % 3):
            calendar.ago((40 - 5 * place) * DAY / number + 5 * HOUR * place)
            train.create_model_version(
                name, source=f"s3://models/{name}/{number}", tags={"backtest": "passed"}
            )
        calendar.ago((6 - place) * DAY / 2 + (3 + 7 * place) * HOUR)
        people[place % 4].set_registered_model_alias(
            name, "champion", 2 + place % 2, reason="weekly release"
        )


def _churn(registry: Registry, calendar: Calendar, model: Path, place: Path) -> None:
    ann, ben = registry.acting_as("ann"), registry.acting_as("ben")
    train = registry.acting_as("ci-train")
    calendar.ago(80 * DAY)
    ann.create_registered_model(
        "churn", description=CARD, tags={"team": "risk", "tier": "1", "owner": "retention"}
    )
    for number in range(1, 8):
        calendar.ago((56 - 8 * number + 1) * DAY + 3 * HOUR)
        folder = place / f"churn-{number}"
        shutil.copytree(model, folder)
        if number >= 6:
            _replace(folder / "requirements.txt", "1.7.2", "1.8.0")
            _replace(folder / "MLmodel", "sklearn_version: ", "sklearn_version: 1.8.0 # ")
        with next(folder.glob("model.*")).open("ab") as file:
            file.write(b"%d" % number)
        train.push_model_version(
            "churn",
            folder,
            run_id=f"9f3c{number}b7d0a6e4c51",
            tags={"auc": f"0.86{number}", "backtest": "passed" if number != 6 else "failed"},
            description=f"Week {29 + number}" + (", with support calls." if number > 4 else "."),
        )
        if number in (3, 5):
            calendar.ago((56 - 8 * number) * DAY + HOUR)
            ann.set_registered_model_alias(
                "churn", "champion", number, reason=f"backtest of week {29 + number}"
            )
    calendar.ago(25 * DAY)
    ben.delete_model_version("churn", 2, reason="trained on leaked labels")
    calendar.ago(28 * HOUR)
    ann.set_registered_model_alias("churn", "champion", 7, reason="AUC 0.867 on the holdout")
    calendar.ago(22 * HOUR)
    ben.set_registered_model_alias("churn", "champion", 5, reason="scores drift on thin files")
    calendar.ago(3 * HOUR)
    ann.set_registered_model_alias("churn", "champion", 7, reason="fixed: thin files are imputed")
    calendar.ago(2 * HOUR)
    ann.set_model_version_tag("churn", 7, "approved", "ann")
    calendar.ago(40 * MINUTE)


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def _prompts(registry: Registry, calendar: Calendar) -> None:
    mei = registry.acting_as("mei")
    calendar.ago(12 * DAY)
    mei.create_registered_model(
        "churn-summary",
        description="Why a customer may leave, for the call centre.",
        tags={"mlflow.prompt.is_prompt": "true", "team": "risk"},
    )
    first = "Summarise in three sentences why {{customer}} may leave.\nUse only the facts below.\n"
    texts = (first + "{{facts}}", first.replace("three", "two") + "Name no amounts.\n{{facts}}")
    for days, text in zip((12, 5), texts, strict=True):
        calendar.ago(days * DAY)
        tags = {"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": text}
        mei.create_model_version("churn-summary", source="prompt-template", tags=tags)
    mei.set_registered_model_alias("churn-summary", "production", 2, reason="shorter calls")


def _deleted(registry: Registry, calendar: Calendar) -> None:
    calendar.ago(50 * DAY)
    registry.acting_as("joao").create_registered_model("upsell", tags={"team": "growth"})
    calendar.ago(4 * DAY)
    registry.acting_as("joao").delete_registered_model("upsell", reason="merged into offers")
    calendar.ago(6 * DAY)
    registry.acting_as("mei").delete_model_version("delivery-eta", 1, reason="never used")
