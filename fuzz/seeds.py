"""Fills fuzz/corpus with what the targets begin from: our manifests, and the golden tables' expressions and datetimes."""

import json
import pathlib
import shutil

HERE = pathlib.Path(__file__).parent
CONFIG = '{"token": "t", "n": 3, "list": [1, "2", null], "start": "2024-01-01T00:00:00Z", "host": "api.example.com"}'
ANSWER = (
    '{"data": [{"list": [{"id": 1, "n": 5, "name": "a-b", "tags": ["y"], "updated_at": "2023-05-01T00:00:00Z"},'
    ' {"id": 2, "n": "7"}, 3]}], "next": "/items?p=2", "docs": [{"id": "1", "updated_at": "1700000000"}]}'
)


def write(target, seeds):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        (folder / f"seed-{index}").write_text(seed)


def main():
    golden = HERE.parent / "engine/tests/golden"
    files = [*HERE.parent.glob("connectors/*.yaml"), *HERE.glob("seeds/manifest/*")]
    write("manifest", ["\0".join([file.read_text(), CONFIG, ANSWER]) for file in sorted(files)])
    expressions = json.loads((golden / "expressions.json").read_text())
    config = json.dumps(expressions["config"])
    write("expression", ["\0".join([case["template"], config, ANSWER]) for case in expressions["cases"]])
    datetimes = json.loads((golden / "datetimes.json").read_text())
    write("datetime", [f"{case['format']}\0{case['value']}" for case in datetimes["reads"]])
    for target in ("manifest", "expression", "datetime"):
        for file in HERE.glob(f"regressions/{target}/*"):
            shutil.copy(file, HERE / "corpus" / target)


main()
