"""Where the server under test is, as the environment says it: EBB_URL, EBB_KEY and EBB_MODEL."""

import os

URL = os.environ["EBB_URL"]
KEY = os.environ["EBB_KEY"]
MODEL = os.environ["EBB_MODEL"]

TOOL = {
    "name": "get_weather",
    "description": "Says how the weather is in a city.",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}, "days": {"type": "integer", "enum": [1, 3]}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"enum": [1, 2, 3]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
