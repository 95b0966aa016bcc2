"""Many runs: axes, cells, plan, launch and status."""
