# Of MLflow's server what answers requests, and nothing that waits for work.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

# Before: $ mlflow server --registry-store-uri registry+postgresql://host/registry
shown py >client.py
python client.py
regctl versions get churn@champion
