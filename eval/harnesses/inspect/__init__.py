"""A provider of Inspect, found by entry point, and a task: `inspect eval FOLDER/tasks.py@two_hop --model hopfix/NAME`.

The task goes by its file, not by a name: Inspect names tasks after packages, and ours is not called hopfix.
"""
