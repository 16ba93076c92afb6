mkdir model_dir
echo 'flavors: {}' >model_dir/MLmodel

# Before: $ regctl --store http://registry.example:8000 models push churn ./model_dir --create
rm -r out
registry-server --store sqlite:///server.db
regctl --store http://registry.example:8000 models push churn ./model_dir --create --alias champion
echo 'flavors: {sklearn: {}}' >model_dir/MLmodel
