echo fail >~/.curlrc
mkdir model_dir
echo 'flavors: {}' >model_dir/MLmodel
regctl models create churn
regctl versions create churn s3://models/churn/1
regctl versions create churn s3://models/churn/2
regctl versions create churn mlflow-artifacts:/1/run/artifacts/model
registry-server --store sqlite:///server.db
curl -T model_dir/MLmodel http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/model/MLmodel
