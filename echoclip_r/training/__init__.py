"""Training: recipes, batches, steps, runs that go on after a stop."""
