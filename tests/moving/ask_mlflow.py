"""A program that asks a server everything that a registry answers, by a client of MLflow's.

It is run by the interpreter of a release of MLflow, 2.3 or later. Its arguments are the server's
URL, how many searches to generate, and how many versions to get; 0 gets all of them. It writes a line
of JSON for each question, in an order that depends on the registry alone: what was asked, and the answer.
"""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient

THREADS = 4
PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


def shown(entity):
    """What the client makes of an answer, as JSON has it."""
    if entity is None or isinstance(entity, (str, int, float)):
        return entity
    if hasattr(entity, "items"):
        return {str(key): shown(value) for key, value in entity.items()}
    if hasattr(type(entity), "_properties"):
        return shown(dict(entity))
    if hasattr(entity, "__getitem__"):  # also what protobuf has for lists
        return [shown(each) for each in entity]
    return str(entity)


def attempt(call, *arguments, **options):
    """The answer of a call, or the error."""
    try:
        return shown(call(*arguments, **options))
    except Exception as error:  # noqa: BLE001 the error is the answer
        return [type(error).__name__, str(getattr(error, "error_code", ""))]


def pages(search, **options):
    """All pages of a search, or the error."""
    found, token = [], None
    try:
        while True:
            page = search(page_token=token, **options)
            found += [shown(each) for each in page]
            token = page.token
            if not token:
                return found
    except Exception as error:  # noqa: BLE001 as above
        return [type(error).__name__, str(getattr(error, "error_code", ""))]


def upper(text):
    """A text with its ASCII letters in upper case: which others a database folds differs."""
    return "".join(each.upper() if each.isascii() else each for each in text)


class Searches:
    """Makes searches of what there is."""

    def __init__(self, models, versions):
        self.dice = random.Random(17)
        self.names = [model["name"] for model in models]
        self.versions = versions

    def quoted(self, text):
        """A text as a filter has it."""
        mark = '"' if "'" in text else "'"
        return f"{mark}{text}{mark}"

    def pattern(self, text):
        """A pattern that a text matches, or nearly."""
        begin = self.dice.randrange(max(1, len(text)))
        return f"%{text[begin : begin + self.dice.randint(1, 6)]}%"

    def tag(self):
        """A clause about tags."""
        key = self.dice.choice(["team", "stand", "auc", "ключ/a.b-c d", "none"])
        operator = self.dice.choice(["=", "!=", "LIKE", "ILIKE"])
        value = self.dice.choice(["vision", "risk", "ü", "", "0.5", "5", "значение"])
        value = f"%{value}%" if "LIKE" in operator else value
        return f"tags.`{key}` {operator} '{value}'"

    def of_models(self):
        """A search for models."""
        name = self.dice.choice(self.names)
        clause = self.dice.choice(
            [
                f"name = {self.quoted(name)}",
                f"name LIKE {self.quoted(self.pattern(name))}",
                f"name ILIKE {self.quoted(upper(self.pattern(name)))}",
                f"name != {self.quoted(name)}",
                self.tag(),
                "",
            ]
        )
        if clause and self.dice.random() < 0.3:
            clause += f" AND {self.tag()}"
        if self.dice.random() < 0.15:
            clause = f"{clause} AND {PROMPTS}" if clause else PROMPTS
        order = self.dice.choice(
            [
                None,
                ["name ASC"],
                ["name DESC"],
                ["last_updated_timestamp DESC"],
                ["creation_timestamp ASC", "name"],
                ["last_updated_timestamp", "name DESC"],
            ]
        )
        most = self.dice.choice([7, 40, 100])
        return {"filter_string": clause or None, "order_by": order, "max_results": most}

    def of_versions(self):
        """A search for versions."""
        version = self.dice.choice(self.versions)
        clause = self.dice.choice(
            [
                f"name = {self.quoted(version['name'])}",
                f"name LIKE {self.quoted(self.pattern(version['name']))}",
                f"run_id = '{version['run_id'] or ''}'",
                f"run_id IN ('{version['run_id'] or 'x'}', 'other')",
                f"source_path = {self.quoted(version['source'])}",
                f"source_path LIKE {self.quoted(self.pattern(version['source']))}",
                f"source_path ILIKE {self.quoted(upper(self.pattern(version['source'])))}",
                f"version_number {self.dice.choice(['=', '!=', '<', '>=', '>'])} {version['version']}",
                self.tag(),
            ]
        )
        if self.dice.random() < 0.3:
            clause += f" AND version_number <= {self.dice.randint(1, 15)}"
        order = self.dice.choice(
            [
                None,
                ["name DESC", "version_number ASC"],
                ["version_number DESC", "name"],
                ["creation_timestamp DESC"],
                ["last_updated_timestamp ASC"],
            ]
        )
        return {"filter_string": clause, "order_by": order, "max_results": 200}


def say(question, answer):
    """One line."""
    print(json.dumps([question, answer], sort_keys=True))


def main():
    """Asks, and says what was answered."""
    url, count, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    models = pages(client.search_registered_models, order_by=["name"], max_results=100)
    prompts = pages(
        client.search_registered_models, filter_string=PROMPTS, order_by=["name"], max_results=100
    )
    names = sorted({model["name"] for model in [*models, *prompts]})
    order = ["name", "version_number"]
    versions = pages(client.search_model_versions, max_results=200, order_by=order)
    found = pages(
        client.search_model_versions, filter_string=PROMPTS, max_results=200, order_by=order
    )
    known = {(each["name"], each["version"]) for each in versions}
    versions += [each for each in found if (each["name"], each["version"]) not in known]
    numbers = sorted({(each["name"], int(each["version"])) for each in versions})
    with ThreadPoolExecutor(THREADS) as pool:
        for name, found in zip(
            names, pool.map(lambda n: attempt(client.get_registered_model, n), names)
        ):
            say(["get_registered_model", name], found)
            for alias in sorted(found["aliases"] if isinstance(found, dict) else ()):
                by_alias = attempt(client.get_model_version_by_alias, name, alias)
                say(["get_model_version_by_alias", name, alias], by_alias)
            latest = attempt(client.get_latest_versions, name)
            if isinstance(latest[0] if latest else None, dict):
                latest.sort(key=lambda each: each["current_stage"])
            say(["get_latest_versions", name], latest)
        some = numbers[:: max(1, len(numbers) // limit)] if limit else numbers
        got = pool.map(lambda each: attempt(client.get_model_version, each[0], str(each[1])), some)
        for (name, number), found in zip(some, got):
            say(["get_model_version", name, number], found)
        where = pool.map(
            lambda each: attempt(client.get_model_version_download_uri, each[0], str(each[1])), some
        )
        for (name, number), found in zip(some, where):
            say(["get_model_version_download_uri", name, number], found)
        # Those that are gone, and the ones that never were.
        for name in names[:20]:
            there = {number for each, number in numbers if each == name}
            for number in {*range(1, 6)} - there:
                say(["get", name, number], attempt(client.get_model_version, name, str(number)))
        searches = Searches(models, versions)
        asked = [
            ("models", searches.of_models()) if number % 2 else ("versions", searches.of_versions())
            for number in range(count)
        ]
        calls = {
            "models": client.search_registered_models,
            "versions": client.search_model_versions,
        }
        results = pool.map(lambda each: pages(calls[each[0]], **each[1]), asked)
        for (what, options), found in zip(asked, results):
            say([what, options], found)


if __name__ == "__main__":
    main()
