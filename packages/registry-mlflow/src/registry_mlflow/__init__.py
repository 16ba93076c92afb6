"""MLflow's model registry on any store of `registry_core`, as a plug-in of MLflow.

import mlflow

mlflow.set_registry_uri("registry+s3://bucket/prefix")
mlflow.register_model("s3://bucket/models/churn", "churn")

MLflow finds the plug-in by its entry points; nothing here needs to be imported.
"""
