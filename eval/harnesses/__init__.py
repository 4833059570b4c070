"""hopfix inside other people's evaluation harnesses; each needs its harness installed, and hopfix does not."""
