"""The recorded boards, the fitted ladder and the generator policy, on the shared data where they are there."""
