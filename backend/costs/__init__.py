"""What models cost: processor time, GPU time and storage, counted by day, with budgets."""
