regctl --store sqlite:///registry.db models create churn
