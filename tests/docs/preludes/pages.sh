echo fail >~/.curlrc
regctl models create churn
registry-server
