"""vLLM's stage does without hypothesis."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("hypothesis") else ["test_records.py"]
