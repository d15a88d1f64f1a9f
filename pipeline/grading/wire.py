"""Messages between the grader and a worker: JSON for the structure, safetensors for the tensors.

Nothing is unpickled, so a message from a student's process cannot run code in the grader's.
"""

import functools
import json
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

LONGEST = 64 * 2**20
"""Bytes of one message."""
WORDS = 4 * 2**20
"""Bytes of its JSON that are received: much larger in memory than on the way."""


class Wire:
    """One end of a connection.

    None, bool, numbers, str, list, tuple, dict and tensors arrive as they were sent. A function
    arrives as a function that calls the sender's, and any other object as an empty object of the
    same class name.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._functions: list[Callable[..., Any]] = []

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send(self, kind: str, content: Any) -> None:
        """Send a message. Errors: `ValueError` if it is longer than `LONGEST`."""
        tensors: dict[str, torch.Tensor] = {}
        words = json.dumps([kind, self._pack(content, tensors)]).encode()
        message = struct.pack("<I", len(words)) + words + tensors_to_bytes(tensors)
        if len(message) > LONGEST or len(words) > WORDS - 4:
            raise ValueError(f"{len(message)} bytes are too much to return")
        self._connection.send_bytes(message)

    def receive(self) -> tuple[str, Any]:
        """Wait for a message; return its kind and content."""
        message = self._connection.recv_bytes(LONGEST)
        end = 4 + struct.unpack("<I", message[:4])[0]
        if end > WORDS:
            raise ValueError(f"a message with {end} bytes of JSON: accepted are {WORDS}")
        tensors = tensors_from_bytes(message[end:])
        kind, content = json.loads(message[4:end])
        return kind, self._unpack(content, tensors)

    def ask(self, kind: str, content: Any) -> tuple[str, Any]:
        """Send a message and return the answer; meanwhile run functions for the other side."""
        self.send(kind, content)
        while True:
            kind, content = self.receive()
            if kind != "callback":
                return kind, content
            number, inputs = content
            try:
                self.send("value", {"value": self._functions[number](*inputs)})
            except Exception as error:
                self.send("raised", {"type": type(error).__name__, "text": str(error)})

    def _call(self, number: int, *inputs: Any) -> Any:
        """Call a function of the other side, which waits for our answer."""
        kind, content = self.ask("callback", [number, list(inputs)])
        if kind == "raised":
            raise type(content["type"], (Exception,), {})(content["text"])
        return content["value"]

    def _pack(self, value: Any, tensors: dict[str, torch.Tensor]) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, float)):
            return int(value) if isinstance(value, int) else float(value)
        if isinstance(value, (list, tuple)):
            return {
                "tuple" if isinstance(value, tuple) else "list": [
                    self._pack(part, tensors) for part in value
                ]
            }
        if isinstance(value, dict):
            return {
                "dict": [
                    [self._pack(key, tensors), self._pack(part, tensors)]
                    for key, part in value.items()
                ]
            }
        if isinstance(value, torch.Tensor) and value.layout == torch.strided:
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {"tensor": name}
        if callable(value) and not isinstance(value, type):
            self._functions.append(value)
            return {"function": len(self._functions) - 1}
        return {"other": type(value).__name__}

    def _unpack(self, value: Any, tensors: dict[str, torch.Tensor]) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind in ("list", "tuple"):
            parts = [self._unpack(part, tensors) for part in content]
            return tuple(parts) if kind == "tuple" else parts
        if kind == "dict":
            return {
                self._unpack(key, tensors): self._unpack(part, tensors) for key, part in content
            }
        if kind == "tensor":
            return tensors[content]
        if kind == "function":
            return functools.partial(self._call, content)
        # An object that cannot be sent: a check sees that it is no tensor.
        return type(str(content)[:60], (), {})()
