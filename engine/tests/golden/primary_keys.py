"""Writes primary_keys.json: the primary keys that airbyte-cdk tells of streams.

`cargo xtask cdk-goldens` runs this. The result is committed, so that the tests need no Python. Each case: fields of a stream, and the key as
paths, which is empty if there is none; or the name of an error.
"""
import copy
import json
import logging
import pathlib

from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

logging.disable(logging.CRITICAL)
KEYS = [
    "id", "", " ", "a.b", "a/b", "{{ config.key }}", "{{ parameters.key }}", "1", [], [""], ["id"], ["id", "day"], ["id", "id"], ["a.b"], ["{{ config.key }}"], [[]], [[], []], [["id"]], [["id"], ["day"]], [["id", "day"]], [["id"], ["deep", "key"]], [["deep", "key"]], ["id", ["day"]],
    [["id"], "day"], [["id"], []], ["id", []], [[["id"]]], None, 5, 1.5, True, False, {}, {"id": 1}, [5], [["id", 5]], [[5]], [None], ["id", None], [True], "unter\u00fcber", ["*"], [["*"]], ["-1"], [["list", "0"]],
]
PARAMETERS = [{"primary_key": "p"}, {"primary_key": ["p", "q"]}, {"primary_key": [["p"]]}, {"primary_key": ""}, {"primary_key": []}, {"primary_key": None}, {"key": "p"}]


def streams():
    yield {}
    for key in KEYS:
        yield {"primary_key": key}
    for parameters in PARAMETERS:
        yield {"$parameters": parameters}
        for key in ["id", "", [], None, ["id"], "{{ parameters.key }}", "{{ parameters['primary_key'] }}"]:
            yield {"primary_key": key, "$parameters": parameters}
    yield {"$parameters": {"$parameters": {"primary_key": "p"}}}


def key(fields):
    requester = {"type": "HttpRequester", "url_base": "http://h", "path": "items"}
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": []}}
    retriever = {"type": "SimpleRetriever", "requester": requester, "record_selector": selector}
    stream = {"type": "DeclarativeStream", "name": "items", "retriever": retriever, "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}}, **copy.deepcopy(fields)}
    check = {"type": "CheckStream", "stream_names": ["items"]}
    specification = {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}}
    manifest = {"type": "DeclarativeSource", "version": "7.0.0", "check": check, "streams": [stream], "spec": specification}
    try:
        source = ConcurrentDeclarativeSource(catalog=None, config={"key": "configured"}, state=None, source_config=manifest)
        found = source.discover(logging.getLogger("x"), {"key": "configured"}).streams[0]
    except Exception as error:  # noqa: BLE001
        return {"stream": fields, "error": type(error).__name__}
    return {"stream": fields, "key": found.source_defined_primary_key or []}


def main():
    lines = [json.dumps(key(fields)) for fields in streams()]
    pathlib.Path(__file__).with_name("primary_keys.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines))


main()
