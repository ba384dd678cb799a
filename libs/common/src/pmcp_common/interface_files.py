"""docs/openrpc.json and docs/asyncapi.json, written from the contracts (`make docs`): `python -m … openrpc`."""

from __future__ import annotations

import sys

import orjson

from pmcp_common.contracts.interface import asyncapi, openrpc

DOCUMENTS = {"openrpc": openrpc, "asyncapi": asyncapi}


def render(name: str) -> str:
    return orjson.dumps(DOCUMENTS[name](), option=orjson.OPT_INDENT_2).decode() + "\n"


def main() -> None:
    sys.stdout.write(render(sys.argv[1]))


if __name__ == "__main__":
    main()
