"""The card of a profile that is shared on the hub: what it is, what it was made for, how to use it, and its report."""

from __future__ import annotations

import re

from correction.profile import Profile
from eval.calibration.verdict import verdict

_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def card(profile: Profile, repository: str, license: str, report: str) -> str:
    """A README.md with the metadata that the hub reads; `report` is the calibration's own, or empty."""
    base = f"base_model: {profile.model}\n" if _ID.fullmatch(profile.model) else ""
    return f"""---
license: {license}
library_name: hopfix
{base}tags:
- hopfix
- patchscopes
---

# {repository.partition("/")[2]}

A profile of hopfix for the model `{profile.model}`: where its hidden states are taken from and patched in
([Patchscopes](https://arxiv.org/abs/2401.06102)) to correct two-hop reasoning, and on what evidence. It has no weights
of the model, and is refused with any other than those of fingerprint `{profile.fingerprint}`.

```
hopfix serve --model {profile.model} --profile {repository}
```

Among the files are {len(profile.replay)} questions with their answers, which a service asks before it says that it is
ready.

{report.partition(chr(10))[2].strip() if report else f"**{verdict(profile)}.**"}
"""
