"""What the estimators of S_IB say of four written solutions and of real trajectories on GSM8K (method.md section 2)."""
