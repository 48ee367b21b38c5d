"""What one tenant can never see of another."""
