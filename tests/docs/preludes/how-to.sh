mkdir model_dir
echo 'flavors: {}' >model_dir/MLmodel
regctl --store sqlite:///mlflow.db models create churn
for version in 1 2 3 4 5 6 7 8; do
  regctl --store sqlite:///mlflow.db versions create churn "s3://models/churn/$version"
done
regctl --store sqlite:///mlflow.db models alias churn champion 5
regctl --store sqlite:///mlflow.db models alias churn challenger 7
registry-server --store sqlite:///mlflow.db

# Before: $ current=$(regctl versions get models:/churn@champion -o json | jq -r .model_version.version)
regctl models alias churn champion 5

# Before: $ sqlite3 registry.db ".backup 'backup.db'" && cp -a registry-artifacts backup-artifacts
regctl models push churn ./model_dir
