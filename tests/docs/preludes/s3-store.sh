export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…

# What `aws s3` does, by the library that it is made of.
aws() {
python - "$@" <<'PROGRAM'
import sys
import boto3
_, _, command, url, *_ = sys.argv
bucket, _, key = url.removeprefix("s3://").partition("/")
s3 = boto3.client("s3", region_name="us-east-1")
if command == "ls":
    for found in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]:
        print(found["LastModified"], found["Size"], found["Key"])
else:
    print(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode(), end="")
PROGRAM
}

# Before: $ aws s3 ls s3://ml-registry/prod/models/
python -c '
from registry_core import open_registry
with open_registry("s3://ml-registry/prod") as registry:
    ci, ann = registry.acting_as("ci"), registry.acting_as("ann", reason="better recall")
    ci.create_model_version("churn", source="s3://models/churn/1")
    ci.create_model_version("churn", source="s3://models/churn/2", run_id="5c1f")
    ann.set_registered_model_alias("churn", "champion", 2)
'
