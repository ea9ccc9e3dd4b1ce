"""The model card: the team's text about a model, and the front matter that model hubs read."""

import json
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from contracts.files import md5
from pipeline.paths import Paths

SIGNS = re.compile(r"[\\`|<\[]")
HUB_TASKS = {"regression": "tabular-regression"}


def card_mark(paths: Paths) -> str:
    """The line by which a report names its text, in the head of the page; `none` means no text."""
    return f'<meta name="card" content="{md5(paths.card) if paths.card.exists() else "none"}">'


def as_markdown(value: Any) -> Any:
    """Text from data, such as a column's name, escaped for Markdown: it starts no cell, link, HTML or line."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return SIGNS.sub(r"\\\g<0>", " ".join(value.split()))


def front_matter(facts: Mapping[str, Any]) -> str:
    """The front matter that model hubs read, as JSON, which is also YAML."""
    schema, manifest = facts["schema"], facts["manifest"]
    task = "image-classification" if schema.image is not None else HUB_TASKS.get(schema.task, "tabular-classification")
    results = {
        "task": {"type": task},
        "dataset": {"name": schema.dataset, "type": schema.dataset, "split": "test"},
        "metrics": [{"type": row["name"], "value": float(f"{row['test']:.6g}")} for row in facts["figures"]],
    }
    content = {
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": ["mlp", "onnx", schema.task],
        "datasets": [schema.dataset],
        "metrics": [row["name"] for row in facts["figures"]],
        "model-index": [{"name": f"{manifest.dataset}-{manifest.trial}", "results": [results]}],
    }
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())
