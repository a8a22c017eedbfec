"""ONNX Runtime in the comparison: its LSTM operator on the CPU provider, `sequence_lens` for lengths. Input and output
are time-major, as the operator wants them: turning the axes is not timed."""

import os

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from serve import serve

FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32


def model(problem):
    order = [0, 3, 1, 2]  # i o f g
    biases = [problem.gates(problem.bias, order), numpy.zeros_like(problem.bias)]
    weights = {
        "W": problem.gates(problem.kernel, order)[None],
        "R": problem.gates(problem.recurrent_kernel, order)[None],
        "B": numpy.concatenate(biases)[None],
    }
    inputs = [helper.make_tensor_value_info("X", FLOAT, [problem.time_steps, problem.batch, problem.features])]
    names = ["X", "W", "R", "B"]
    if problem.lengths is not None:
        inputs.append(helper.make_tensor_value_info("sequence_lens", INT32, [problem.batch]))
        names.append("sequence_lens")
    node = helper.make_node("LSTM", names, ["Y"], hidden_size=problem.units)
    result = helper.make_tensor_value_info("Y", FLOAT, [problem.time_steps, 1, problem.batch, problem.units])
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph([node], "lstm", inputs, [result], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def prepare(path, problem, mode):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["PEERS_THREADS"])
    options.inter_op_num_threads = 1
    serialized = model(problem).SerializeToString()
    session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    feed = {"X": numpy.ascontiguousarray(problem.input.transpose(1, 0, 2))}
    if problem.lengths is not None:
        feed["sequence_lens"] = problem.lengths.astype(numpy.int32)

    def call():
        return session.run(["Y"], feed)[0]

    return call, lambda: call()[:, 0].transpose(1, 0, 2), "CPU"


serve(onnxruntime.__version__, ["cpu"], prepare)
