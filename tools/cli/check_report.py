#!/usr/bin/python3
"""check_report.py SCHEMA REPORT - exit 1, with the place and what is wrong, where a report does
not follow its JSON Schema."""
import json
import sys

import jsonschema


def strict(text):
    raise ValueError(f"{text} is no JSON")


with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
with open(sys.argv[2], encoding="utf-8") as file:
    report = json.load(file, parse_constant=strict)
jsonschema.Draft7Validator.check_schema(schema)
errors = list(jsonschema.Draft7Validator(schema).iter_errors(report))
for error in errors[:20]:
    print("/".join(str(part) for part in error.absolute_path), error.message[:300])
sys.exit(1 if errors else 0)
