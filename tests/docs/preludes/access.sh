# The file that the page shows, with a password that is known.
shown toml >access.toml
chmod o= access.toml
password=$(registry-server hash --password)
sed -i "s/\"scrypt:[^\"]*\"/\"$password\"/" access.toml

# Before: $ regctl access why --file access.toml --as ann --action move-alias --model fraud-net --alias champion
export MLFLOW_TRACKING_USERNAME=ann MLFLOW_TRACKING_PASSWORD=secret
