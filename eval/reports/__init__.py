"""Reports: what a run or an experiment found, for people, as Markdown and as one self-contained page."""
