"""Training networks: the loop, recipes, schedules, stored statistics."""
