# Of MLflow's server what answers requests, and nothing that waits for work.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
