"""An example for each command, which its help ends with: one table, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, str] = {
    "": "regctl --store sqlite:///registry.db models list",
    "history": "regctl history churn --alias champion --since 7d",
    "activity": "regctl activity --since 1d --action set_alias",
    "events": "regctl events follow --since 1h",
    "events follow": "regctl events follow --cursor-file cursor | jq .action",
    "models": "regctl models list --filter \"tags.team = 'risk'\"",
    "models create": 'regctl models create churn --description "who leaves" --tag team=risk',
    "models get": "regctl models get churn --as-of 7d",
    "models list": "regctl models list --filter \"name LIKE 'fraud%'\" --limit 10",
    "models update": 'regctl models update churn --description "who leaves within 30 days"',
    "models rename": "regctl models rename churn churn-eu",
    "models delete": 'regctl models delete churn --yes --reason "replaced by churn-eu"',
    "models tag": "regctl models tag churn team=risk owner=ann",
    "models untag": "regctl models untag churn owner",
    "models alias": "regctl models alias churn champion churn@challenger --if-current 5",
    "models unalias": "regctl models unalias churn challenger",
    "models push": "regctl models push churn ./model --create --alias challenger",
    "models pull": "regctl models pull churn@champion -o ./model",
    "models rollback": 'regctl models rollback churn --alias champion --reason "latency doubled"',
    "models prune-history": "regctl models prune-history churn --before 365d --dry-run",
    "models deleted": "regctl models deleted",
    "models restore": "regctl models restore churn --as churn-old",
    "access": "regctl access whoami",
    "access check": "regctl access check access.toml",
    "access why": "regctl access why --file access.toml --as ann --action edit --model churn",
    "access whoami": "regctl --store https://registry.example access whoami",
    "approvals": "regctl approvals list churn/7",
    "approvals add": 'regctl approvals add churn/7 --reason "AUC 0.91, checked by hand"',
    "approvals list": "regctl approvals list churn/7",
    "approvals withdraw": 'regctl approvals withdraw churn/7 --reason "the data was wrong"',
    "versions": "regctl versions get churn@champion",
    "versions create": "regctl versions create churn s3://models/churn/build-412 --tag auc=0.91",
    "versions get": "regctl versions get churn@champion -o json",
    "versions list": "regctl versions list churn --order-by 'version_number DESC' --limit 5",
    "versions update": 'regctl versions update churn/3 --description "with the data of May"',
    "versions delete": "regctl versions delete churn/2 --yes",
    "versions transition": "regctl versions transition churn/3 Production",
    "versions adopt": "regctl versions adopt churn/3 --reason 'the old bucket goes away'",
    "versions tag": "regctl versions tag churn@challenger tested=yes",
    "versions untag": "regctl versions untag churn/3 tested",
    "versions download-uri": "regctl versions download-uri churn@champion",
    "versions latest": "regctl versions latest churn --stage Production",
    "versions deleted": "regctl versions deleted churn",
    "versions restore": "regctl versions restore churn 2",
    "versions diff": "regctl versions diff churn@champion churn@challenger",
    "prompts": "regctl prompts get greeting@live",
    "prompts list": "regctl prompts list --filter \"name LIKE 'support%'\"",
    "prompts get": "regctl prompts get greeting@live",
    "prompts diff": "regctl prompts diff greeting/1 greeting@live",
    "apply": "regctl apply -f registry.toml --check",
    "webhooks": "regctl webhooks list",
    "webhooks create": (
        "regctl webhooks create ci --url https://ci.example.com/hook "
        "--event model_version_alias.created"
    ),
    "webhooks list": "regctl webhooks list -o json",
    "webhooks get": "regctl webhooks get 0b7c...",
    "webhooks update": "regctl webhooks update 0b7c... --disabled",
    "webhooks delete": "regctl webhooks delete 0b7c... --yes",
    "webhooks test": "regctl --store https://models.example.com webhooks test 0b7c...",
    "webhooks deliveries": "regctl webhooks deliveries 0b7c... --dead",
    "webhooks redeliver": "regctl webhooks redeliver 0b7c... --all",
    "artifacts": "regctl artifacts verify churn@champion",
    "artifacts list": "regctl artifacts list churn@champion",
    "artifacts verify": "regctl artifacts verify churn@champion",
    "artifacts gc": "regctl artifacts gc --grace 48h --delete",
    "store": "regctl store fsck",
    "store fsck": "regctl store fsck --repair",
    "db": "regctl db current",
    "db upgrade": "regctl --store postgresql://registry@db/registry db upgrade",
    "db current": "regctl db current",
    "copy": "regctl copy http://mlflow:5000 sqlite:///registry.db --dry-run",
    "diff": "regctl diff http://mlflow:5000 sqlite:///registry.db",
    "export": "regctl export backup.jsonl.gz",
    "import": "regctl --store sqlite:///restored.db import backup.jsonl.gz",
}
"""By the words of the command after `regctl`."""


def add_epilog(command: click.Command, path: str) -> click.Command:
    """Have the help of a command end with its example, if it has one and no other end."""
    if command.epilog is None and path in EXAMPLES:
        # \b keeps the line as it is: somebody copies it.
        command.epilog = f"\b\nExample:\n  {EXAMPLES[path]}"
    return command
