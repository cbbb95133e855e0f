"""Many runs: search, grid, sweep, comparison and leaderboard."""
