"""Smaller numbers in a LiteRT file, by the AI Edge quantiser that litert-torch brings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from profilers.artifact import Quantization, TensorSpec
from profilers.runtimes.feeding import batches, stored

# What may compute in floats in a file of float32 edges: the edges themselves, and a softmax between the last 8-bit
# numbers and the output, whose probabilities would else come in steps of 1/256.
_FLOAT_OPERATIONS = {"QUANTIZE", "DEQUANTIZE", "SOFTMAX"}


def quantize_int8(
    path: Path, given: TensorSpec, taken: TensorSpec, images: np.ndarray
) -> tuple[TensorSpec, TensorSpec]:
    """Make all of a float file int8, weights per channel; the ranges are those that fp32 images [M, C, H, W] give.

    Returns what its input and output hold then.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import recipe

    _quantize(path, recipe.static_wi8_ai8(), given, images)
    made = Interpreter(str(path))
    floats = [each["name"] for each in made.get_tensor_details() if each["dtype"] == np.float32]
    if floats:
        raise ValueError(f"{len(floats)} tensors are left in floats, such as {floats[0]}")
    return _held(given, made.get_input_details()[0]), _held(taken, made.get_output_details()[0])


def quantize_inside(path: Path, given: TensorSpec, images: np.ndarray) -> None:
    """The same between a float32 input and a float32 output, with a softmax, if it ends in one, in floats too."""
    from ai_edge_quantizer import qtyping, recipe_manager

    recipes = recipe_manager.RecipeManager()
    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    recipes.add_static_config(".*", everything, activation_num_bits=8, weight_num_bits=8)
    for name in ("INPUT", "OUTPUT", "SOFTMAX"):  # to the quantiser the edges are operations, too
        recipes.add_quantization_config(
            ".*", qtyping.TFLOperationName(name), algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE
        )
    _quantize(path, recipes.get_quantization_recipe(), given, images)
    left = sorted(_computing_in_floats(path) - _FLOAT_OPERATIONS)
    if left:
        raise ValueError(f"left in floats: {', '.join(left)}")


def _quantize(path: Path, asked: Any, given: TensorSpec, images: np.ndarray) -> None:
    from ai_edge_quantizer import quantizer

    ranges = _ranges(path, asked, [{given.name: stored(batch, given)} for batch in batches(images, given.shape[0])])
    result = quantizer.Quantizer(path, asked).quantize(ranges, enable_progress_report=False)
    path.write_bytes(result.quantized_model)


def _computing_in_floats(path: Path) -> set[str]:
    """The kinds of operation that read or write a float32 tensor."""
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    kinds = set()
    for graph in model.subgraphs:
        for operation in graph.operators:
            touched = (graph.tensors[place] for place in (*operation.inputs, *operation.outputs) if place >= 0)
            if any(tensor.type == schema.TensorType.FLOAT32 for tensor in touched):
                kinds.add(names[model.operatorCodes[operation.opcodeIndex].builtinCode])
    return kinds


def _ranges(path: Path, asked: object, samples: list[dict[str, np.ndarray]]) -> Any:
    """The least and the greatest value of every tensor over all samples; by default only the first would weigh much."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    [signature] = Interpreter(str(path)).get_signature_list()
    recipes = recipe_manager.RecipeManager()
    recipes.load_quantization_recipe(asked)
    watch = calibrator.Calibrator(path.read_bytes(), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    watch.calibrate({signature: samples}, recipes)
    return watch.get_model_qsvs()


def weights_to_fp16(path: Path) -> None:
    """Hold the weights of a float file in half precision; what is computed with them is the runtime's choice."""
    from ai_edge_quantizer import qtyping, quantizer

    work = quantizer.Quantizer(path)
    work.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    path.write_bytes(work.quantize(enable_progress_report=False).quantized_model)


def _held(spec: TensorSpec, details: dict[str, Any]) -> TensorSpec:
    """What an interpreter tells of a tensor. Raises ValueError for one that holds no 8-bit numbers."""
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"]).name
    if dtype != "int8":
        raise ValueError(f"{spec.name} is left as {dtype}")
    return replace(spec, dtype=dtype, quantization=Quantization(scale=float(scale), zero_point=int(zero_point)))
