"""Tasks of lm-evaluation-harness: `--include_path` is this folder."""
