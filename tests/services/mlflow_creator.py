"""A program that creates models and versions with MLflow's client until its input ends.

It is run by the interpreter of a release of MLflow, and so needs nothing but that. Its arguments are
the server's URL, the name of a model that exists, and a number of threads. It writes one JSON object
per line: the `thread`, and `model` (a name) or `version` (a model, a number and a source) for what was
acknowledged, `failed` (a sentence) for any other end of a call.
"""

import json
import sys
import threading

from mlflow import MlflowClient


def create(client, shared, thread, say, is_over):
    """Creates a model, a version of it, and one of the shared model, again and again."""
    number = 0
    while not is_over.is_set():
        number += 1
        name = f"mlflow-{thread}-{number}"
        source = f"s3://bucket/{name}"
        try:
            # Every other one with tags, which are more than one row.
            client.create_registered_model(name, tags={"n": str(number)} if number % 2 else None)
            say(thread=thread, model=name)
            for model in (name, shared):
                made = client.create_model_version(model, source, tags={"n": str(number)})
                say(thread=thread, version=[model, int(made.version), source])
        except Exception as error:  # noqa: BLE001 whatever it is, a call has failed
            say(thread=thread, failed=f"{type(error).__name__}: {error}")


def main():
    """Runs the threads."""
    url, shared, threads = sys.argv[1:]
    lock, is_over = threading.Lock(), threading.Event()

    def say(**what):
        with lock:
            print(json.dumps(what), flush=True)

    client = MlflowClient(tracking_uri=url, registry_uri=url)
    workers = [
        threading.Thread(target=create, args=(client, shared, number, say, is_over))
        for number in range(int(threads))
    ]
    for worker in workers:
        worker.start()
    sys.stdin.read()
    is_over.set()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
