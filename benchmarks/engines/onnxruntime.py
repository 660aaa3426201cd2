"""ONNX Runtime, on the graph that its transformer optimizer has fused."""

import onnxruntime

FILE = "fused.onnx"
VERSION = onnxruntime.__version__


def load(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids, mask, types):
        return session.run(["hidden", "pooled"], {"ids": ids, "mask": mask, "types": types})

    return run
