"""GitOps for machine-learning models: pins in git, deployed, proven and recorded."""
