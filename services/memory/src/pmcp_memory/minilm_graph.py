"""Builds the ONNX graph of all-MiniLM-L6-v2 (BERT: 6 layers, 12 heads, 384 wide) from its published
float32 weights.

Weights become int8: one scale per output column of a matrix, one per row of the word table. Activations are
quantised at run time (`DynamicQuantizeMatMul`), one range for the whole input: so one text a run, or
neighbours in a batch would change its vector. Attention, layer norms and the matrices whose input has
wide outliers stay float32. The graph ends in unit vectors. Needs `onnx`; runs once per machine,
`embedding_minilm` keeps the result.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import orjson
from onnx import TensorProto, helper, numpy_helper

GRAPH_VERSION = 1
"""Part of the file name: a change of this module must not meet a graph built by its predecessor."""
LAYERS, HEADS, WIDTH = 6, 12, 384
_EPSILON = 1e-12
_OPSET, _CONTRIB_OPSET, _IR_VERSION = 17, 1, 9
_CONTRIB = "com.microsoft"

# 7 bits: processors without VNNI add two u8*s8 products in 16 bits and would saturate with 8.
_MATRIX_LEVELS = 63
_TABLE_LEVELS = 127
# After GELU the first layers have outliers that eat the common range: float there costs 0.2 ms and brings the
# worst cosine of short texts from 0.973 to 0.982.
_FLOAT_OUTER_LAYERS = 3

Float32 = npt.NDArray[np.float32]


def read_safetensors(path: Path) -> dict[str, Float32]:
    """The float32 tensors of a file: 8 bytes of header length, a JSON header, raw little-endian data."""
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    (header_bytes,) = struct.unpack("<Q", raw[:8].tobytes())
    header = orjson.loads(raw[8 : 8 + header_bytes].tobytes())
    data = raw[8 + header_bytes :]
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            tensors[name] = data[begin:end].view(np.float32).reshape(entry["shape"])
    return tensors


def build_graph(weights: Mapping[str, Float32]) -> bytes:
    """Inputs `input_ids` int64 [batch, tokens] and `mask` int32 [batch, tokens] (1: a token, 0: padding,
    on the right only); output `vectors` float32 [batch, 384] of length 1."""
    graph = _Graph()
    hidden = _add_embeddings(graph, weights)
    for layer in range(LAYERS):
        hidden = _add_layer(graph, weights, layer, hidden)
    _add_pooling(graph, hidden)
    axes = ["batch", "tokens"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes),
                helper.make_tensor_value_info("mask", TensorProto.INT32, axes),
            ],
            [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", WIDTH])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, _CONTRIB_OPSET)],
        ir_version=_IR_VERSION,
        producer_name="pmcp_memory",
    )
    return bytes(model.SerializeToString())


class _Graph:
    """Collects nodes and constants; every node has one output unless told otherwise, named by a counter."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> list[str]:
        number = len(self.nodes)
        names = [f"{kind}_{number}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    def one(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self.add(kind, *inputs, domain=domain, **attributes)[0]

    def linear(self, name: str, source: str, weight: Float32, bias: Float32) -> str:
        """Times the transposed int8 weight, plus bias. PyTorch stores [out, in]; ONNX wants [in,
        out]."""
        scale, quantised = _quantise(weight, _MATRIX_LEVELS)
        return self.one(
            "DynamicQuantizeMatMul",
            source,
            self.constant(f"{name}.int8", quantised.T),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
            self.constant(f"{name}.bias", bias),
            domain=_CONTRIB,
        )

    def exact_linear(self, name: str, source: str, weight: Float32, bias: Float32) -> str:
        product = self.one("MatMul", source, self.constant(f"{name}.weight", weight.T))
        return self.one("Add", product, self.constant(f"{name}.bias", bias))


def _quantise(rows: Float32, levels: int) -> tuple[Float32, npt.NDArray[np.int8]]:
    """Symmetric, one scale per row."""
    scale = np.maximum(np.abs(rows).max(axis=1) / levels, 1e-12).astype(np.float32)
    return scale, np.rint(rows / scale[:, None]).astype(np.int8)


def _add_embeddings(graph: _Graph, weights: Mapping[str, Float32]) -> str:
    scale, words = _quantise(weights["embeddings.word_embeddings.weight"], _TABLE_LEVELS)
    # A single sentence: every token has type 0, so that row folds into the positions.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    ids = "input_ids"
    rows = graph.one("Cast", graph.one("Gather", graph.constant("words", words), ids), to=TensorProto.FLOAT)
    row_scales = graph.one("Gather", graph.constant("words.scale", scale[:, None]), ids)
    embedded = graph.one("Mul", rows, row_scales)
    zero, one = graph.constant("zero", np.array([0])), graph.constant("one", np.array([1]))
    tokens = graph.one("Slice", graph.one("Shape", ids), one, graph.constant("two", np.array([2])))
    positions = graph.one("Slice", graph.constant("places", places), zero, tokens, zero)
    return graph.one(
        "LayerNormalization",
        graph.one("Add", embedded, positions),
        graph.constant("embeddings.gamma", weights["embeddings.LayerNorm.weight"]),
        graph.constant("embeddings.beta", weights["embeddings.LayerNorm.bias"]),
        epsilon=_EPSILON,
        axis=-1,
    )


def _add_layer(graph: _Graph, weights: Mapping[str, Float32], layer: int, hidden: str) -> str:
    prefix = f"encoder.layer.{layer}."

    def pair(name: str) -> tuple[Float32, Float32]:
        return weights[f"{prefix}{name}.weight"], weights[f"{prefix}{name}.bias"]

    projections = [pair(f"attention.self.{name}") for name in ("query", "key", "value")]
    # One matrix for the three: the input is quantised once.
    joined = graph.linear(
        f"{prefix}qkv",
        hidden,
        np.concatenate([weight for weight, _ in projections]),
        np.concatenate([bias for _, bias in projections]),
    )
    query, key, value = graph.add("Split", joined, outputs=3, axis=-1)
    attended = graph.one("MultiHeadAttention", query, key, value, "", "mask", domain=_CONTRIB, num_heads=HEADS)
    attended = graph.linear(f"{prefix}attention", attended, *pair("attention.output.dense"))
    hidden = _add_and_normalise(graph, f"{prefix}attention", attended, hidden, *pair("attention.output.LayerNorm"))
    inner = graph.linear(f"{prefix}inner", hidden, *pair("intermediate.dense"))
    inner = graph.one("Gelu", inner, domain=_CONTRIB)
    narrow = graph.exact_linear if layer < _FLOAT_OUTER_LAYERS else graph.linear
    outer = narrow(f"{prefix}outer", inner, *pair("output.dense"))
    return _add_and_normalise(graph, f"{prefix}output", outer, hidden, *pair("output.LayerNorm"))


def _add_and_normalise(graph: _Graph, name: str, source: str, skip: str, gamma: Float32, beta: Float32) -> str:
    return graph.one(
        "SkipLayerNormalization",
        source,
        skip,
        graph.constant(f"{name}.gamma", gamma),
        graph.constant(f"{name}.beta", beta),
        domain=_CONTRIB,
        epsilon=_EPSILON,
    )


def _add_pooling(graph: _Graph, hidden: str) -> None:
    """Mean over the tokens, then length 1. The sum does: dividing by the count does not turn a vector."""
    mask = graph.one("Cast", "mask", to=TensorProto.FLOAT)
    row = graph.one("Unsqueeze", mask, "one")
    total = graph.one("Squeeze", graph.one("MatMul", row, hidden), "one")
    unit = graph.one("LpNormalization", total, axis=1, p=2)
    graph.nodes.append(helper.make_node("Identity", [unit], ["vectors"]))
