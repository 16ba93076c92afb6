# Receivers that take no connection, and are given up at once.
export REGISTRY_WEBHOOK_PRIVATE_ADDRESSES=true REGISTRY_WEBHOOK_RETRIES=0
export REGISTRY_WEBHOOK_SECRET_KEY=$(python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')
echo 'correct horse battery staple' >secret.txt

# Before: $ curl -s http://127.0.0.1:8000/api/2.0/mlflow/webhooks -H 'Content-Type: application/json' -d @webhook.json
shown json | sed 's,//ci.example.com,//127.0.0.1:1,' >webhook.json
registry-server

# Before: $ regctl webhooks create audit --url https://ci.example.com/hooks/registry \
test $(regctl -o name webhooks list | wc -l) = 2

# Before: $ regctl webhooks deliveries ID
regctl models create churn
regctl versions create churn s3://models/churn/1
regctl models alias churn champion 1
ID=$(regctl -o name webhooks list | tail -n 1)
for attempt in $(seq 200); do regctl webhooks deliveries $ID | grep -q 'given up' && break; done
regctl webhooks deliveries $ID | grep 'given up'
