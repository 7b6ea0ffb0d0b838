"""Writes options.json: where airbyte-cdk puts the values of RequestOptions, and what it makes of those that meet in one place.

`cargo xtask cdk-goldens` runs this. The result is committed, so that the tests need no Python. Each case: fields of a stream, what the
platform answers to its first request, and the requests for the first two pages of the first slice; or the name of an error.
"""
import copy
import itertools
import json
import logging
import pathlib

import requests

from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import ManifestComponentTransformer
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory

logging.disable(logging.CRITICAL)
CONFIG = {"name": "n", "dotted": "a.b", "seven": "7", "list": ["p", 5, 1.5, True, None, "1.10", "", 0], "key": "k1", "day": "2024-01-02"}
# Headers of the client itself.
OWN = {"user-agent", "accept-encoding", "accept", "connection", "content-length", "host"}
ITEMS = {"items": [{"id": 1}]}

PLACES = ["request_parameter", "header", "body_data", "body_json"]
NAMES = [{"field_name": "x"}, {"field_name": "{{ config.name }}"}, {"field_name": "{{ config['dotted'] }}"}, {"field_name": "{{ parameters.of }}", "$parameters": {"of": "p"}}, {"field_name": "{{ config.seven }}"}, {"field_name": "1.0"}]
WAYS = [
    {"field_path": ["x"]}, {"field_path": ["x", "y"]}, {"field_path": ["x", "{{ config.name }}", "z"]}, {"field_path": ["x", "0"]}, {"field_path": ["{{ config.seven }}", "y"]}, {"field_path": ["a.b", "c/d"]}, {"field_path": []}, {}, {"field_name": "x", "field_path": ["x"]},
    {"field_name": ""}, {"field_path": [""]}, {"field_path": ["{{ parameters.of }}", "y"], "$parameters": {"of": "p"}},
]
TOKENS = ["t", "007", "12", 12, 1.5, "1.10", True, "True", [1, 2], ["a"], {"after": 5}, {"a": {"b": None}}, "a b&c=d/e", "\u00fc", "None", "1,2", "[1, 2]", "{'a': 1}", "'q'", 0, "", None, False, [], {}, "2024-01-01", 12345678901234567890]
VALUES = ["v", "1.10", "007", "12", "true", "True", "a b&c", "\u00fc", "1,2", "None", "[1]", "{'a': 1}", "'q'", " s "]


def option(place, **more):
    return {"type": "RequestOption", "inject_into": place, **more}


def cursor_pages(token=None, size=None, **more):
    paginator = {"type": "DefaultPaginator", "pagination_strategy": {"type": "CursorPagination", "cursor_value": "{{ response.next }}", **({"page_size": 2} if size else {}), **more}}
    if token:
        paginator["page_token_option"] = token
    if size:
        paginator["page_size_option"] = size
    return {"paginator": paginator}


def listed(of, values=("v", "w"), field="part"):
    return {"partition_router": {"type": "ListPartitionRouter", "cursor_field": field, "values": values if isinstance(values, str) else list(values), "request_option": of}}


def days(start=None, end=None):
    cursor = {"type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%d", "start_datetime": "{{ config.day }}", "end_datetime": "2024-01-05"}
    if start:
        cursor["start_time_option"] = start
    if end:
        cursor["end_time_option"] = end
    return {"incremental_sync": cursor}


def parent(of, key="id"):
    requester = {"type": "HttpRequester", "url_base": "http://h", "path": "parents"}
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["parents"]}}
    stream = {"type": "DeclarativeStream", "name": "parents", "retriever": {"type": "SimpleRetriever", "requester": requester, "record_selector": selector}, "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}}}
    config = {"type": "ParentStreamConfig", "stream": stream, "parent_key": key, "partition_field": "part", "request_option": of}
    return {"partition_router": {"type": "SubstreamPartitionRouter", "parent_stream_configs": [config]}}


def keyed(of):
    return {"requester": {"authenticator": {"type": "ApiKeyAuthenticator", "api_token": "{{ config['key'] }}", "inject_into": of}}}


def own(**fields):
    return {"requester": fields}


def merged(*parts):
    whole = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = {**whole.get(name, {}), **value} if name in ("requester", "incremental_sync", "paginator") else value
    return whole


OWN_FIELD = {"request_parameter": "request_parameters", "header": "request_headers", "body_data": "request_body_data", "body_json": "request_body_json"}
SETTERS = {
    "token": lambda of: cursor_pages(token=of), "size": lambda of: cursor_pages(size=of), "start": lambda of: days(start=of), "end": lambda of: days(end=of), "list": listed, "parent": parent, "key": keyed,
}


def one_option():
    """Each option in each place, under each name and path."""
    for setter in SETTERS.values():
        for place, name in itertools.product(PLACES, NAMES):
            yield setter(option(place, **name)), "t"
        for way in WAYS:
            yield setter(option("body_json", **way)), "t"
    for place, way in itertools.product(PLACES[:3], WAYS):
        yield listed(option(place, **way)), "t"
    yield cursor_pages(token=option("path", field_name="x")), "t"
    yield listed(option("path", field_name="x")), "t"
    yield listed({"type": "RequestOption", "field_name": "x"}), "t"


def two_options():
    """Options that meet: under the same name, and with places within each other."""
    ways = [({"field_name": "x"}, {"field_name": "x"}), ({"field_name": "x"}, {"field_name": "X"}), ({"field_path": ["x", "y"]}, {"field_path": ["x", "z"]}), ({"field_path": ["x", "y"]}, {"field_path": ["x", "y"]}), ({"field_path": ["x"]}, {"field_path": ["x", "y"]}), ({"field_path": ["x", "y"]}, {"field_name": "x"})]
    for (one, first), (other, second) in itertools.permutations(SETTERS.items(), 2):
        if {one, other} == {"list", "parent"}:
            continue
        for place, (this, that) in itertools.product(PLACES, ways):
            if "field_name" not in {**this, **that} and place != "body_json":
                continue
            parts = merged(first(option(place, **this)), second(option(place, **that)))
            # Both belong to one paginator or one cursor.
            if {one, other} == {"token", "size"}:
                parts = cursor_pages(**{one: option(place, **this), other: option(place, **that)})
            if {one, other} == {"start", "end"}:
                parts = days(**{one: option(place, **this), other: option(place, **that)})
            yield parts, "t"
    for place in PLACES:
        lists = [listed(option(place, field_name="x"), field=field)["partition_router"] for field in ("part", "other")]
        yield {"partition_router": lists}, "t"
    # The same value twice is no clash in JSON.
    yield merged(cursor_pages(token=option("body_json", field_name="x")), listed(option("body_json", field_name="x"), ["t"])), "t"
    yield merged(days(start=option("body_json", field_name="x")), listed(option("body_json", field_name="x"), ["2024-01-02"])), "t"
    yield merged(days(start=option("request_parameter", field_name="x")), listed(option("request_parameter", field_name="x"), ["2024-01-02"])), "t"


def beside_own():
    """Options beside what the requester itself has, under the same and under other names."""
    for (kind, setter), place, name in itertools.product(SETTERS.items(), PLACES, ["x", "own"]):
        for held in ["o", "{{ config.none }}", "1"]:
            yield merged(own(**{OWN_FIELD[place]: {"own": held}}), setter(option(place, field_name=name))), "t"
    nested = {"own": {"deep": "{{ config.name }}", "list": [1]}, "y": "1"}
    for setter, way in itertools.product(SETTERS.values(), [["own", "x"], ["own", "deep"], ["own", "deep", "x"], ["own", "list"], ["own"], ["y", "x"], ["z", "x"]]):
        yield merged(own(request_body_json=nested), setter(option("body_json", field_path=way))), "t"
    bodies = [
        {"request_body_data": "text"}, {"request_body_data": '{"a": 1}'}, {"request_body_data": "{{ config.none }}"}, {"request_body_json": "{{ {'a': 1} }}"}, {"request_body_json": "text"}, {"request_body_json": "{{ config.none }}"}, {"request_body_json": "[1]"}, {"request_body_json": {}}, {"request_body_data": {}},
        {"request_body_data": {"a": "{{ config.none }}"}}, {"request_body": {"type": "RequestBodyPlainText", "value": "text"}}, {"request_body": {"type": "RequestBodyUrlEncodedForm", "value": {"a": "1"}}}, {"request_body": {"type": "RequestBodyJsonObject", "value": {"a": "1"}}},
        {"request_body": {"type": "RequestBodyGraphQL", "value": {"query": "{ a }"}}}, {"request_body": {"type": "RequestBodyGraphQL", "value": {"query": "{ a }", "variables": {"a": 1}}}},
    ]
    for body, setter, place in itertools.product(bodies, [SETTERS["token"], SETTERS["list"], SETTERS["key"]], ["body_data", "body_json"]):
        yield merged(own(**body), setter(option(place, field_name="x"))), "t"
    for body in bodies:
        yield merged(own(**body), listed(option("body_json", field_path=["variables", "x"]))), "t"
    for setter in SETTERS.values():
        yield merged(own(request_headers={"Content-Type": "text/x"}), setter(option("body_json", field_name="x"))), "t"
        yield merged(own(request_parameters="{{ {'a': 1} }}"), setter(option("request_parameter", field_name="x"))), "t"
        yield merged(own(request_headers="{{ {'a': 1} }}"), setter(option("header", field_name="a"))), "t"


def typed():
    """Values of every type in every place."""
    ways = [option(place, field_name="x") for place in PLACES] + [option("body_json", field_path=["x", "y"])]
    for way, token in itertools.product(ways, TOKENS):
        yield cursor_pages(token=way), token
    for way, value in itertools.product(ways, VALUES):
        yield listed(way, [value]), None
    for way, values in itertools.product(ways, ["{{ config.list }}", "{{ [1.50, 'x'] }}", "{{ [true] }}", "{{ [none, 'x'] }}", "{{ [0] }}", "{{ [{'a': 1}] }}", "{{ [['a', 2]] }}", "[1, 2]", "['007']", "{{ ['1.10'] }}"]):
        yield listed(way, values), None
    for way, key in itertools.product(ways, ["id", "float", "text", "yes", "no", "zero", "list", "map", "deep/a", "digits", "long"]):
        yield parent(way, key), None
    for way, strategy in itertools.product(ways, [{"type": "PageIncrement", "page_size": 1}, {"type": "PageIncrement", "page_size": 1, "start_from_page": 5, "inject_on_first_request": True}, {"type": "OffsetIncrement", "page_size": 1}, {"type": "OffsetIncrement", "page_size": "{{ 1 }}", "inject_on_first_request": True}, {"type": "OffsetIncrement", "page_size": "1"}]):
        yield {"paginator": {"type": "DefaultPaginator", "pagination_strategy": strategy, "page_token_option": way}}, None
        yield {"paginator": {"type": "DefaultPaginator", "pagination_strategy": strategy, "page_size_option": way}}, None
    for way in ways:
        yield {"paginator": {"type": "DefaultPaginator", "pagination_strategy": {"type": "CursorPagination", "cursor_value": "{{ response.next }}"}, "page_size_option": way}}, "t"


def in_address():
    """Parameters that the address has already."""
    addresses = ["items?x=v", "items?x=w", "items?x=v&x=w", "items?y=1", "items?x=a%20b", "items?x=t&y=2", "items?x", "items?x="]
    for path, setter in itertools.product(addresses, [SETTERS["list"], SETTERS["token"], SETTERS["key"], SETTERS["start"]]):
        yield merged(own(path=path), setter(option("request_parameter", field_name="x"))), "t"
        yield merged(own(path=path, request_parameters={"x": "v", "y": "2"}), setter(option("request_parameter", field_name="z"))), "t"
    nexts = ["http://h/items?x=v&page=2", "/items?page=2", "items?page=2", "http://h/items?page=2&part=w", "http://h/items?k=k1"]
    for token, setter in itertools.product(nexts, [listed, days]):
        paged = {"paginator": {"type": "DefaultPaginator", "pagination_strategy": {"type": "CursorPagination", "cursor_value": "{{ response.next }}", "page_size": 2}, "page_token_option": {"type": "RequestPath"}, "page_size_option": option("request_parameter", field_name="page")}}
        yield merged(paged, setter(option("request_parameter", field_name="x"))), token
        yield merged(paged, keyed(option("request_parameter", field_name="k"))), token


PARENTS = {"parents": [{"id": 5, "float": 1.5, "text": "t", "yes": True, "no": False, "zero": 0, "list": [1, "a"], "map": {"a": 1}, "deep": {"a": "d"}, "digits": "007", "long": "1.10"}]}


def whole(parts):
    requester = {"type": "HttpRequester", "url_base": "http://h", "path": "items", "http_method": "POST", **parts.get("requester", {})}
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["items"]}}
    retriever = {"type": "SimpleRetriever", "requester": requester, "record_selector": selector}
    retriever.update({name: parts[name] for name in ("paginator", "partition_router") if name in parts})
    stream = {"type": "DeclarativeStream", "name": "items", "retriever": retriever, "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}}}
    stream.update({name: parts[name] for name in ("incremental_sync",) if name in parts})
    return stream


def sent(request):
    headers = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items() if name.lower() not in OWN}
    body = request.body.encode() if isinstance(request.body, str) else request.body
    return {"url": request.url, "headers": headers, "body": None if body is None else body.decode()}


class Platform:
    """Answers in place of the network."""

    def __init__(self, first):
        self.replies = [first]
        self.requests = []

    def send(self, session, request, **_):
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        if request.url.endswith("/parents"):
            answer = PARENTS
        else:
            self.requests.append(request)
            answer = self.replies.pop(0) if self.replies else {"items": []}
        response._content = json.dumps(answer).encode()
        return response


def case(parts, token):
    answer = {**ITEMS, "next": token}
    found = {"stream": parts, "answer": answer}
    platform = Platform(answer)
    requests.Session.send = lambda session, request, **more: platform.send(session, request, **more)
    try:
        filled = ManifestComponentTransformer().propagate_types_and_parameters("", copy.deepcopy(whole(parts)), {})
        stream = ModelToComponentFactory().create_component(models.DeclarativeStream, filled, CONFIG)
        for partition in stream.generate_partitions():
            found["slice"] = json.loads(json.dumps(dict(partition.to_slice() or {})))
            list(partition.read())
            break
    except Exception as error:  # noqa: BLE001
        return {**found, "error": type(error).__name__}
    return {**found, "requests": [sent(request) for request in platform.requests[:2]]}


CASES = {"one_option": one_option, "two_options": two_options, "beside_own": beside_own, "typed": typed, "in_address": in_address}


def main():
    parts = []
    for name, cases in CASES.items():
        lines = [json.dumps(case(*given), separators=(",", ":")) for given in cases()]
        parts.append(json.dumps(name) + ": [\n" + ",\n".join(lines) + "\n]")
        print(name, len(lines))
    head = '"config": ' + json.dumps(CONFIG) + ",\n"
    pathlib.Path(__file__).with_name("options.json").write_text("{" + head + ",\n".join(parts) + "}\n")


main()
