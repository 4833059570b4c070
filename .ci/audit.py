"""Looks the pinned versions up among known vulnerabilities (OSV), with pip-audit: python .ci/audit.py FILE...

Exit 0 if none is known, 1 if one is or if pip-audit fails. Where the advisories cannot be reached nothing has been
looked up: that is said, and passes, since a machine without them could never pass otherwise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

OSV = "https://api.osv.dev/v1/query"
# Advisories that are known and do no harm here: the id, and why it does none.
ACCEPTED: dict[str, str] = {}
UNREACHABLE = ("ConnectionError", "Could not connect", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError")


def audit(file: Path, url: str) -> int:
    """Prints what was found in one file of pinned versions; 0 or 1."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--osv-url", url, "--format", "json", "--progress-spinner", "off"]
    for advisory in ACCEPTED:
        command += ["--ignore-vuln", advisory]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"
        if any(sign in done.stderr for sign in UNREACHABLE):
            print(f"audit of {file.name}: NOT DONE, the advisories at {url} cannot be reached ({reason[:200]})")
            return 0
        print(f"audit of {file.name}: pip-audit failed\n{done.stderr}")
        return 1
    packages = json.loads(done.stdout)["dependencies"]
    found = [(package, advisory) for package in packages for advisory in package.get("vulns", ())]
    for package, advisory in found:
        fixed = ", ".join(advisory["fix_versions"]) or "no version"
        print(f"{file.name}: {package['name']} {package['version']} has {advisory['id']}, fixed in {fixed}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    print(
        f"audit of {file.name}: {len(packages) - len(skipped)} packages looked up, {len(found)} vulnerabilities"
        + (f"; not looked up: {', '.join(skipped)}" if skipped else "")
    )
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--osv-url", default=OSV, help="where the advisories are, such as a mirror of them")
    asked = parser.parse_args()
    return max(audit(file, asked.osv_url) for file in asked.files)


if __name__ == "__main__":
    sys.exit(main())
