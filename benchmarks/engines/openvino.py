"""OpenVINO in fp32, on the plain ONNX graph, which it fuses itself."""

import openvino

FILE = "model.onnx"
VERSION = openvino.__version__.split("-")[0]


def load(path, threads):
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def run(ids, mask, types):
        outputs = request.infer({"ids": ids, "mask": mask, "types": types}, share_inputs=True, share_outputs=True)
        return outputs["hidden"], outputs["pooled"]

    return run
