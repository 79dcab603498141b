"""Checks a document against the specification of OpenAPI 3.1, and its examples against its schemas."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(open(sys.argv[1], encoding="utf-8"))
OpenAPIV31SpecValidator(document).validate()


def media(node):
    """Returns every media type object below a node."""
    if isinstance(node, list):
        return [found for item in node for found in media(item)]
    if not isinstance(node, dict):
        return []
    content = node.get("content")
    own = list(content.values()) if isinstance(content, dict) else []
    return own + [found for item in node.values() for found in media(item)]


count = 0
for content in media(document["paths"]):
    schema = {**content["schema"], "components": document["components"]}
    examples = [example["value"] for example in content.get("examples", {}).values()]
    if "example" in content:
        examples.append(content["example"])
    for example in examples:
        Draft202012Validator(schema).validate(example)
        count += 1
print(count)
