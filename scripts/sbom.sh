#!/usr/bin/env bash
# Bill of materials (CycloneDX JSON) of a wheel and its run-time dependencies, and an audit of these
# packages for known vulnerabilities in pypi.org's database.
#   scripts/sbom.sh WHEEL OUT.cdx.json
# Needs cyclonedx-bom and pip-audit.
set -euo pipefail
wheel=$(realpath "$1")
out=$(realpath -m "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv --without-pip "$work/bare"
python -m pip --python "$work/bare/bin/python" install -q "$wheel"
cyclonedx-py environment --output-reproducible --of JSON -o "$out" "$work/bare/bin/python"
# The environment lists the installed packages; the compiled core uses the system's libraries only.
python - "$out" "$wheel" <<'PYTHON'
import hashlib, json, pathlib, sys

out, wheel = map(pathlib.Path, sys.argv[1:])
bill = json.loads(out.read_text())
for component in bill["components"]:
    if component["name"] == "bge-micro":
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
out.write_text(json.dumps(bill, indent=2) + "\n")
for component in bill["components"]:
    print(component["name"], component["version"])
PYTHON
pip-audit --path "$work"/bare/lib/python*/site-packages -f json -o "$work/audit.json"
# pip-audit skips packages that the database does not know, and all if it cannot be reached.
python - "$work/audit.json" <<'PYTHON'
import json, pathlib, sys

packages = json.loads(pathlib.Path(sys.argv[1]).read_text())["dependencies"]
skipped = [p["name"] for p in packages if "skip_reason" in p and p["name"] != "bge-micro"]
if skipped:
    sys.exit(f"not audited, the database does not know them or was not reached: {', '.join(skipped)}")
PYTHON
