"""rpc.discover: the table of methods as an OpenRPC document."""

from __future__ import annotations

from functools import cache
from typing import Any

from pmcp_common.contracts.interface import openrpc
from pmcp_common.contracts.methods import NoParams
from pmcp_gateway.methods.call import Call, Services


@cache
def _document() -> dict[str, Any]:
    return openrpc()


async def discover(_services: Services, _call: Call, _params: NoParams) -> dict[str, Any]:
    return _document()
