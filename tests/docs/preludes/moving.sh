export KEYS_OF_THE_BUCKET
echo fail >~/.curlrc
api=http://mlflow:5000/api/2.0
run=$(curl -H 'Content-Type: application/json' -d '{"experiment_id": "0"}' "$api/mlflow/runs/create" | jq -r .run.info.run_id)
echo 'flavors: {}' >MLmodel
curl -T MLmodel "$api/mlflow-artifacts/artifacts/0/$run/artifacts/model/MLmodel"
model="mlflow-artifacts:/0/$run/artifacts/model --run-id $run"
regctl --store http://mlflow:5000 models create churn
regctl --store http://mlflow:5000 versions create churn $model
registry-server --store sqlite:///server.db

# Before: $ regctl copy --yes postgresql://db/registry http://mlflow:5000
regctl --store postgresql://db/registry models create scores
regctl --store postgresql://db/registry versions create scores $model

# Before: $ regctl copy --watch http://mlflow:5000 postgresql://db/registry
regctl --store http://mlflow:5000 models delete scores --yes
regctl --store http://mlflow:5000 models create watched
regctl --store postgresql://db/registry models delete scores --yes
regctl --store postgresql://db/registry models delete churn --yes

# Before: $ regctl diff http://mlflow:5000 postgresql://db/registry
for model in churn watched; do
  regctl --store postgresql://db/registry models delete $model --yes
  regctl --store s3://team/registry models delete $model --yes
done
regctl copy http://mlflow:5000 postgresql://db/registry
