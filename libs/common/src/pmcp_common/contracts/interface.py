"""The table of methods as machines read it: an OpenRPC document (`rpc.discover`) and an AsyncAPI 3 document. Pure.

Both are drawn from `methods.METHODS` and `errors.TABLE` and say nothing of their own.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from pmcp_common.contracts import errors
from pmcp_common.contracts.method_models import NoParams
from pmcp_common.contracts.methods import METHODS, Method

OPENRPC_VERSION = "1.3.2"
ASYNCAPI_VERSION = "3.0.0"
TITLE = "Persona MCP"
VERSION = "0.1.0"
SUMMARY = "AI characters with a memory, over one WebSocket. JSON-RPC 2.0; not the Model Context Protocol."
STREAM_SCHEMA = "StreamFrame"
_REFERENCE = "#/components/schemas/{model}"


def openrpc() -> dict[str, Any]:
    schemas: dict[str, Any] = {STREAM_SCHEMA: _stream_frame()}
    methods = [_method(method, schemas) for method in METHODS.values()]
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": TITLE, "version": VERSION, "description": SUMMARY},
        "methods": methods,
        "components": {"schemas": dict(sorted(schemas.items())), "errors": _errors()},
    }


def _method(method: Method, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": _params(method.params, schemas),
        "result": {"name": "result", "schema": _result(method, schemas)},
    }
    if method.result is None:
        described["x-streaming"] = "answered by frames that repeat the request's id; see docs/protocol.md"
    return described


def _params(model: type[BaseModel], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if model is NoParams:
        return []
    schema = model.model_json_schema(by_alias=False, ref_template=_REFERENCE)
    schemas.update(schema.get("$defs", {}))
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "required": name in required,
            "schema": {key: value for key, value in field.items() if key not in ("title", "description")},
            **({"description": field["description"]} if "description" in field else {}),
        }
        for name, field in schema["properties"].items()
    ]


def _result(method: Method, schemas: dict[str, Any]) -> dict[str, Any]:
    if method.result is None:
        return {"$ref": f"#/components/schemas/{STREAM_SCHEMA}"}
    schema = method.result.model_json_schema(mode="serialization", ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    schemas[method.result.__name__] = schema
    return {"$ref": f"#/components/schemas/{method.result.__name__}"}


def _stream_frame() -> dict[str, Any]:
    kinds = ["stream_start", "stream_chunk", "stream_complete", "stream_cancelled", "stream_error"]
    return {
        "type": "object",
        "description": "One of the frames of a stream, in order of `seq`; the last is one of the last three kinds.",
        "properties": {
            "event_type": {"type": "string", "enum": kinds},
            "stream_id": {"type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
            "epoch": {"type": "string"},
            "seq": {"type": "integer"},
            "attempt": {"type": "integer"},
            "data": {"type": "object"},
        },
        "required": ["event_type", "stream_id", "timestamp"],
    }


def _errors() -> dict[str, Any]:
    return {
        row.name: {"code": row.code, "message": row.meaning, "data": {"retryable": row.retryable}}
        for row in errors.TABLE
    }


def asyncapi() -> dict[str, Any]:
    described = openrpc()
    messages: dict[str, Any] = {}
    for method in described["methods"]:
        name = method["name"].replace(".", "_")
        messages[f"{name}_request"] = _message(method["name"], method["summary"], _request(method))
        messages[f"{name}_reply"] = _message(f"{method['name']} reply", "", _reply(method))
    channel = "#/channels/mcp"
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": described["info"],
        "channels": {
            "mcp": {
                "address": "/mcp",
                "description": "One WebSocket; text frames, one JSON object each.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            method["name"]: _operation(channel, method["name"].replace(".", "_")) for method in described["methods"]
        },
        "components": {"messages": messages, "schemas": described["components"]["schemas"]},
    }


def _operation(channel: str, name: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}_request"}],
        "reply": {"channel": {"$ref": channel}, "messages": [{"$ref": f"{channel}/messages/{name}_reply"}]},
    }


def _message(title: str, summary: str, payload: dict[str, Any]) -> dict[str, Any]:
    message = {"name": title, "contentType": "application/json", "payload": payload}
    return {**message, "summary": summary} if summary else message


def _request(method: dict[str, Any]) -> dict[str, Any]:
    properties = {param["name"]: param["schema"] for param in method["params"]}
    required = [param["name"] for param in method["params"] if param["required"]]
    params = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    return {
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "number"]},
            "method": {"const": method["name"]},
            "params": params,
        },
        "required": ["method", *(["params"] if required else [])],
    }


def _reply(method: dict[str, Any]) -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": {"type": "object"}},
        "required": ["code", "message"],
    }
    return {
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "number", "null"]},
            "result": method["result"]["schema"],
            "error": error,
        },
        "required": ["jsonrpc", "id"],
    }
