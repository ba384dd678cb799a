"""The process of the embedded chat model: llama.cpp behind an OpenAI-compatible endpoint on loopback.

Run as `python -m pmcp_local.model_server --model FILE --port N …`; ends on SIGTERM. Several replies are
written at once (slots), each with its own context; the beginning of a prompt that a slot has seen before is
not computed again.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

import xllamacpp

# llama.cpp keeps prompts it may meet again in memory, 8 GiB of them unless told otherwise.
_PROMPT_CACHE_MIB = 256
_WARNINGS = 2
_MAX_TOKENS = 1024


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pmcp_local.model_server")
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--name", required=True, help="what the model is called on the wire")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4, help="replies written at once")
    parser.add_argument("--slot-tokens", type=int, default=4096, help="context of each slot, in tokens")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def serving_parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.model_alias = {options.name}
    parameters.hostnames = [options.host]
    parameters.port = options.port
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.slots * options.slot_tokens
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    # A request that names no limit would go on until its slot is full.
    parameters.n_predict = _MAX_TOKENS
    parameters.cache_prompt = True
    parameters.cache_ram_mib = _PROMPT_CACHE_MIB
    parameters.verbosity = _WARNINGS
    parameters.ui = False
    # No page of another site may use the model through the visitor's browser.
    parameters.cors_origins = ""
    return parameters


def main() -> int:
    options = read_arguments()
    # Blocked before the server starts its threads, which inherit the mask: the signal waits for us below.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        server = xllamacpp.Server(serving_parameters(options))
    except RuntimeError as error:
        sys.stderr.write(f"the model server cannot start: {error}\n")
        return 1
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server
    return 0


if __name__ == "__main__":
    sys.exit(main())
