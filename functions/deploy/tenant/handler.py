"""Make a tenant of a deployment and keep it current."""
