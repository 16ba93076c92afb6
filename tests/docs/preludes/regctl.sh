# Before: $ regctl versions get churn 3
for version in 2 3 4 5 6 7 8; do regctl versions create churn s3://bucket/models/churn/$version --run-id r1; done
regctl models alias churn challenger 5

# Before: $ regctl apply -f registry.toml --dry-run
shown toml | sed 's,//ci.example.com,//127.0.0.1:1,' >registry.toml
export CI_HOOK_SECRET=secret REGISTRY_WEBHOOK_PRIVATE_ADDRESSES=true
export REGISTRY_WEBHOOK_SECRET_KEY=$(python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')

# Before: $ regctl prompts list
python -c '
from registry_core import open_registry
with open_registry("sqlite:///registry.db") as registry:
    registry.prompts.create("greeting", "Hello {{name}}!")
    registry.prompts.create("greeting", "Hello {{name}}, welcome!", exist_ok=True)
    registry.prompts.set_alias("greeting", "live", 2)
'

# Before: $ regctl models push churn ./model_dir --create --alias champion
mkdir model_dir
printf 'flavors: {}\n' >model_dir/MLmodel
printf 'old weights\n' >model_dir/weights

# Before: $ regctl store fsck
rm $(find registry-artifacts -name weights)
