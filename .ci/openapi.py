"""Prints the OpenAPI document of this version: docs/openapi.json."""

import json
import sys

from service.app import create_app
from service.settings import Settings

sys.stdout.write(json.dumps(create_app(Settings()).openapi(), indent=1, ensure_ascii=False) + "\n")
