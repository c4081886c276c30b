"""A collector for tests: takes OTLP over HTTP and gRPC and writes each span, log record and metric as a JSON line.

`python otlp_receiver.py FILE` prints `http PORT` and `grpc PORT` once it listens, and runs until its stdin ends.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

REQUESTS = {
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
    "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
}
PARTS = {
    "span": ("resourceSpans", "scopeSpans", "spans"),
    "log": ("resourceLogs", "scopeLogs", "logRecords"),
    "metric": ("resourceMetrics", "scopeMetrics", "metrics"),
}


class Lines:
    """The file; one line at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def take(self, request: Any, how: str) -> None:
        """Write everything in one export request."""
        data = MessageToDict(request)
        with self._lock:
            for signal, (resources, scopes, items) in PARTS.items():
                for resource in data.get(resources, ()):
                    for scope in resource.get(scopes, ()):
                        for item in scope.get(items, ()):
                            line = {
                                "signal": signal,
                                "how": how,
                                "scope": scope.get("scope", {}).get("name", ""),
                                "resource": attributes(resource.get("resource", {})),
                                **item,
                                "attributes": attributes(item),
                            }
                            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def attributes(item: dict[str, Any]) -> dict[str, Any]:
    """OTLP's list of keys and typed values as a plain dict."""
    return {pair["key"]: _value(pair.get("value", {})) for pair in item.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    for kind, found in value.items():
        if kind == "intValue":
            return int(found)
        if kind == "arrayValue":
            return [_value(one) for one in found.get("values", ())]
        return found
    return None


def http(lines: Lines) -> int:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines.take(REQUESTS[self.path].FromString(body), "http")
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def over_grpc(lines: Lines) -> int:
    def servicer(base: Any, response: Any) -> Any:
        def export(_self: Any, request: Any, _context: Any) -> Any:
            lines.take(request, "grpc")
            return response()

        return type("Servicer", (base,), {"Export": export})()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
        servicer(trace_service_pb2_grpc.TraceServiceServicer, trace_service_pb2.ExportTraceServiceResponse),
        server,
    )
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(
        servicer(logs_service_pb2_grpc.LogsServiceServicer, logs_service_pb2.ExportLogsServiceResponse),
        server,
    )
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(
        servicer(metrics_service_pb2_grpc.MetricsServiceServicer, metrics_service_pb2.ExportMetricsServiceResponse),
        server,
    )
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    http.server = server  # type: ignore[attr-defined]  # kept alive as long as the process
    return port


def main() -> None:
    lines = Lines(Path(sys.argv[1]))
    print(f"http {http(lines)}\ngrpc {over_grpc(lines)}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
