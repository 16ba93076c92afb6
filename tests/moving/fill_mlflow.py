"""A program that fills a server of MLflow's with a registry as teams have them, by its own client.

It is run by the interpreter of a release of MLflow, 2.3 or later, and so needs nothing but that. Its
arguments are the server's URL, how many models and prompts there are to be, and how many versions a
model has in the mean. What it makes depends on these numbers alone. It writes one JSON object: the
`models`, `versions`, `deleted` versions and `prompts` that there are then.
"""

import json
import logging
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import mlflow
from mlflow import MlflowClient

WORDS = [
    "churn",
    "größe",
    "модель",
    "予測",
    "🤖 bot",
    "e\u0301te",
    "it's",
    "100 %",
    "a_b",
    "A B",
    "x*?",
]
STAGES = ["Staging", "Production", "Archived"]
RUNS = 3
THREADS = 4


class Filler:
    """Fills one server."""

    def __init__(self, url, models, versions):
        self.client = MlflowClient(tracking_uri=url, registry_uri=url)
        self.models, self.versions = models, versions
        self.counts = {"models": 0, "versions": 0, "deleted": 0, "prompts": 0}
        self.runs = []

    def make_runs(self):
        """Some runs, whose files versions can be made of."""
        experiment = self.client.create_experiment("training")
        self.runs = [self.client.create_run(experiment).info for _ in range(RUNS)]

    def fill(self, prompts):
        """Everything."""
        self.make_runs()
        with ThreadPoolExecutor(THREADS) as pool:
            made = list(pool.map(self.model, range(self.models)))
            written = list(pool.map(self.prompt, range(prompts)))
        for versions, deleted in made:
            self.counts["models"] += 1
            self.counts["versions"] += versions
            self.counts["deleted"] += deleted
        self.counts["prompts"] = sum(written)
        self.copies()

    def model(self, number):
        """A model with its versions; how many these are, and how many were deleted."""
        dice = random.Random(number)
        name = f"{dice.choice(WORDS)} {number:04}"
        count = dice.randint(1, 2 * self.versions - 1)
        first = f"before {number}" if dice.random() < 0.1 else name
        self.client.create_registered_model(
            first, tags=self.tags(dice), description=self.text(dice, 5_000)
        )
        if first != name:
            self.client.rename_registered_model(first, name)
        for version in range(1, count + 1):
            self.version(dice, name, version)
        self.changes(dice, name, count)
        deleted = [each for each in range(1, count + 1) if dice.random() < 0.15]
        if count > 1 and number % 7 == 0 and count not in deleted:
            deleted.append(count)
        for each in deleted:
            self.client.delete_model_version(name, str(each))
        return count, len(deleted)

    def version(self, dice, name, number):
        """A version, in a stage perhaps, with tags and aliases."""
        run = dice.choice(self.runs)
        source, run_id = dice.choice(
            [
                (f"s3://bucket/{name}/{number}", None),
                (f"s3://bucket/p%20q/ü/{number}?versionId=1", None),
                (f"{run.artifact_uri}/model", run.run_id),
                (f"runs:/{run.run_id}/model", run.run_id),
            ]
        )
        self.client.create_model_version(
            name,
            source,
            run_id,
            tags=self.tags(dice),
            run_link=dice.choice([None, "https://mlflow/#/runs/1"]),
            description=self.text(dice, 500),
        )
        if dice.random() < 0.3:
            archives = dice.random() < 0.3
            stage = dice.choice(STAGES[:2] if archives else STAGES)
            self.client.transition_model_version_stage(
                name, str(number), stage, archive_existing_versions=archives
            )

    def changes(self, dice, name, count):
        """Aliases that were moved and deleted, tags that were set and deleted, new texts."""
        for alias in ("champion", "кандидат", "v1-beta"):
            if dice.random() < 0.6:
                self.client.set_registered_model_alias(name, alias, str(dice.randint(1, count)))
        if dice.random() < 0.2:
            self.client.delete_registered_model_alias(name, "champion")
        self.client.set_registered_model_tag(name, "stand", str(count))
        if dice.random() < 0.2:
            self.client.delete_registered_model_tag(name, "stand")
        self.client.set_model_version_tag(name, str(count), "auc", f"0.{count}")
        if dice.random() < 0.3:
            self.client.update_model_version(name, str(count), description="neu\nü")
        if dice.random() < 0.2:
            self.client.update_registered_model(name, description="")

    def copies(self):
        """Versions whose source is a version, where the release knows that."""
        target = "copies of others"
        self.client.create_registered_model(target)
        for model in self.client.search_registered_models("name LIKE '%1'", max_results=10):
            if not model.latest_versions:
                continue
            newest = model.latest_versions[0]
            source = f"models:/{newest.name}/{newest.version}"
            if hasattr(self.client, "copy_model_version"):
                self.client.copy_model_version(source, target)
            else:
                self.client.create_model_version(target, source, newest.run_id)
            self.counts["versions"] += 1
        self.counts["models"] += 1

    def prompt(self, number):
        """A prompt with two versions, where the release has prompts."""
        # 2.22 has them in the module, later releases also in the client.
        of = self.client if hasattr(self.client, "register_prompt") else mlflow
        if not hasattr(of, "register_prompt"):
            return 0
        name = f"prompt.{number:03}"
        of.register_prompt(name, "Grüße, {{name}}", tags={"team": "ü"})
        of.register_prompt(name, "x" * 4_000, commit_message="longer")
        of.set_prompt_alias(name, "production", 1)
        return 1

    @staticmethod
    def tags(dice):
        """Some tags, of which some are long."""
        found = {"team": dice.choice(["vision", "Risk", "ü", ""])}
        if dice.random() < 0.3:
            found["ключ/a.b-c d"] = "значение " * dice.randint(1, 500)
        return found

    @staticmethod
    def text(dice, most):
        """A description, or none."""
        return dice.choice([None, "", "kurz", "zwei\nZeilen 'mit' \"Anführung\"", "ü" * most])


def main():
    """Fills the server."""
    url, models, prompts, versions = sys.argv[1:]
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    logging.disable(logging.WARNING)
    filler = Filler(url, int(models), int(versions))
    filler.fill(int(prompts))
    print(json.dumps(filler.counts))


if __name__ == "__main__":
    main()
