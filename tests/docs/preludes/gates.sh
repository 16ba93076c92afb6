# The gate that the page shows, in the file of a server that knows two people.
printf '[user.ann]\npasswords = ["%s"]\n' "$(registry-server hash --password)" >access.toml
printf '[user.bob]\npasswords = ["%s"]\n' "$(registry-server hash --password)" >>access.toml
printf 'groups = ["ml-leads"]\n[[grant]]\nusers = ["*"]\nrole = "writer"\n' >>access.toml
shown toml >>access.toml
chmod o= access.toml
registry-server --access-file access.toml
export REGISTRY_STORE=http://127.0.0.1:8000
export MLFLOW_TRACKING_USERNAME=ann MLFLOW_TRACKING_PASSWORD=secret
MLFLOW_TRACKING_USERNAME=bob regctl approvals add models:/churn/7
