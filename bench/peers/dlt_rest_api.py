"""dlt's declarative REST source on the same collection: iterated, or run through to files on disk."""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"

import dlt
import requests
from common import main
from dlt.sources.rest_api import rest_api_source


def _source(task: dict[str, Any]) -> Any:
    session = requests.Session()
    session.trust_env = False
    session.verify = task["ca"]
    return rest_api_source({
        "client": {
            "base_url": task["url"] + "/",
            "auth": {"type": "bearer", "token": task["token"]},
            "paginator": {"type": "json_link", "next_url_path": "['@odata.nextLink']"},
            "session": session,
        },
        "resources": [
            {
                "name": "items",
                "primary_key": "id",
                "write_disposition": "replace",
                "endpoint": {"path": "items", "params": {"$expand": "itemVariants"}, "data_selector": "value"},
            }
        ],
    })  # fmt: skip


def iterate(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the rows as they come."""
    return list(_source(task).resources["items"])


def full_run(task: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Extract, normalise and load into JSON lines, dlt's whole way; the variants become a table of their own."""
    folder = tempfile.mkdtemp(prefix="dlt-", dir=task["work"])
    os.environ["DLT_DATA_DIR"] = folder
    os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = f"file://{folder}/out"
    pipeline = dlt.pipeline(
        "bench", destination="filesystem", dataset_name="bench", pipelines_dir=f"{folder}/pipelines"
    )
    pipeline.run(_source(task), loader_file_format="jsonl")
    return _loaded(f"{folder}/out/bench")


def _loaded(folder: str) -> Iterable[dict[str, Any]]:
    variants: dict[str, list[str]] = {}
    for row in _rows(f"{folder}/items__item_variants"):
        variants.setdefault(row["_dlt_parent_id"], []).append(row["id"])
    for row in _rows(f"{folder}/items"):
        yield {"id": row["id"], "itemVariants": variants.get(row["_dlt_id"], [])}


def _rows(folder: str) -> Iterable[dict[str, Any]]:
    for path in Path(folder).iterdir():
        content = path.read_bytes()
        for line in (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).splitlines():
            yield json.loads(line)


if __name__ == "__main__":
    main(full_run if sys.argv[1:] == ["full"] else iterate)
