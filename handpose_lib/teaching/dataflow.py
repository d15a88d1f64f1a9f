"""The blocks of a network, and the tensors that pass between them, recorded in one forward pass.

    graph = dataflow.trace(method, x, opened=("stem", "stacks.*", "links.*"))
    for node in graph.nodes:
        print(node.name, node.shapes, node.parameters)

A copy of the network runs on PyTorch's device 'meta', which computes shapes and no numbers, so
that a network of any size takes a second and no memory. A module that is not opened is one block.
An opened module is shown as the blocks within it; what its own `forward` does with tensors (sums,
concatenations, a softmax) becomes a node as well. Changes of layout (`reshape`, `transpose`, `to`)
become none: an edge has the shape in which the next node receives the tensor.
"""

import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from handpose_lib.errors import HandPoseError
from handpose_lib.nets import blocks, heatmap, spatial

Shape = tuple[int, ...]
"""Shape of a tensor without its batch axis, which is as long as that of the first input."""


@dataclass(frozen=True)
class Edge:
    """A tensor that a node receives: the number of the node that made it, and its shape."""

    source: int
    shape: Shape


@dataclass
class Node:
    """A step of the forward pass.

    kind         'input' | 'block' (a module) | 'operation' | 'weight' (a parameter of an opened
                 module, used by its own `forward`)
    label        what it does, in words
    detail       kernels, levels or the like; may be empty
    name         path of the module, as `named_modules` has it; of blocks in a row that are drawn
                 as one, that of the first
    within       path of the opened module that it belongs to
    inputs       the tensors that it receives, each once
    shapes       shapes of its outputs
    parameters   number of its weights
    blocks       paths of the modules that it stands for
    """

    kind: str
    label: str
    detail: str = ""
    name: str = ""
    within: str = ""
    inputs: list[Edge] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    parameters: int = 0
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """The nodes in the order in which they ran, and what the network returned.

    outputs   the network's result, each tensor replaced by its `Edge`, or by None if it does not
              depend on the input
    result    the network's result itself, on device 'meta'
    """

    nodes: list[Node]
    outputs: Any
    result: Any

    def consumers(self, number: int) -> list[int]:
        """Return the numbers of the nodes that receive an output of node `number`."""
        return [
            other
            for other, node in enumerate(self.nodes)
            if any(edge.source == number for edge in node.inputs)
        ]

    def merged(self) -> "Graph":
        """Return the graph with equal blocks of one row (an `nn.Sequential`) as one node."""
        nodes: list[Node] = []
        at: dict[int, int] = {}
        for number, node in enumerate(self.nodes):
            before = nodes[-1] if nodes else None
            if before is not None and self._same(number, before):
                before.parameters += node.parameters
                before.blocks += node.blocks
            else:
                nodes.append(copy.copy(node))
            at[number] = len(nodes) - 1
        for node in nodes:
            node.inputs = [Edge(at[edge.source], edge.shape) for edge in node.inputs]
        outputs = _mapped(self.outputs, lambda edge: Edge(at[edge.source], edge.shape), Edge)
        return Graph(nodes, outputs, self.result)

    def _same(self, number: int, before: Node) -> bool:
        """Whether node `number` repeats the one before it, whose output nothing else uses."""
        node = self.nodes[number]
        row, _, place = node.name.rpartition(".")
        return (
            node.kind == before.kind == "block"
            and place.isdigit()
            and row == before.name.rpartition(".")[0]
            and (node.label, node.detail, node.within)
            == (before.label, before.detail, before.within)
            and node.shapes == before.shapes
            and [edge.source for edge in node.inputs] == [number - 1]
            and self.consumers(number - 1) == [number]
            and all(edge.source != number - 1 for edge in _all(self.outputs, Edge))
        )


def trace(
    module: nn.Module,
    inputs: torch.Tensor | Sequence[torch.Tensor],
    opened: Iterable[str] = (),
    names: Sequence[str] = (),
) -> Graph:
    """Run a copy of the module on device 'meta', and return its graph.

    `inputs`: the arguments of its `forward`; only their shapes and types are used. `opened`: paths
    of modules to open, in which * stands for any characters but a dot; a list of modules is always
    open. `names`: the inputs', by default those of the arguments.
    Errors: a pattern of `opened` that fits no module that ran, a block that runs twice, weights
    that belong to no block.
    """
    ghost = copy.deepcopy(module).to("meta").eval()
    given = [inputs] if isinstance(inputs, torch.Tensor) else [*inputs]
    recorder = _Recorder(ghost, tuple(opened), len(given[0]))
    arguments = [value.to("meta") for value in given]
    signature = list(inspect.signature(ghost.forward).parameters)
    for value, name in zip(arguments, names or signature):
        recorder.input(value, name)
    with torch.no_grad(), recorder, _Hooks(ghost, recorder):
        result = ghost(*arguments)
    recorder.check()
    outputs = _mapped(result, recorder.edge, torch.Tensor)
    return Graph(recorder.nodes, outputs, result)


def arguments_of(network: nn.Module, inputs: torch.Tensor, name: str) -> list[torch.Tensor]:
    """Return what the part `name` of a network receives in its forward pass, on device 'meta'.

    Errors: a part that does not exist or does not run.
    """
    ghost = copy.deepcopy(network).to("meta").eval()
    parts = dict(ghost.named_modules())
    if name not in parts:
        raise HandPoseError(f"part {name!r}: accepted are the paths of named_modules()")
    found: list[tuple[torch.Tensor, ...]] = []
    parts[name].register_forward_pre_hook(lambda _, args: found.append(args))
    with torch.no_grad():
        ghost(inputs.to("meta"))
    if not found:
        raise HandPoseError(f"part {name!r} does not run in the network's forward pass")
    return list(found[0])


# --- Recording ----------------------------------------------------------------

NAMED_FUNCTIONS = {
    function.__code__: label
    for function, label in (
        (blocks.max_pool_same, "max pooling 3×3, stride 2"),
        (heatmap.at, "value of the map at points"),
        (spatial.spatial_softmax, "softmax over the pixels"),
        (spatial.gather, "weighted mean over the pixels"),
        (spatial.scatter_mean, "weights × vectors, mean over the joints"),
        (spatial.expectation, "weighted mean of the votes"),
    )
}
"""Functions of the library that are one node, whatever they compute inside."""
OPERATIONS = {
    "add": "+",
    "sub": "−",
    "rsub": "−",
    "mul": "×",
    "rmul": "×",
    "div": "÷",
    "cat": "concatenate",
    "stack": "stack",
    "matmul": "matrix product",
    "bmm": "matrix product",
    "mean": "mean over the map",
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "relu": "ReLU",
    "max_pool2d": "max pooling",
    "max_pool3d": "max pooling",
}
LAYOUT = {
    "clone",
    "contiguous",
    "detach",
    "expand",
    "expand_as",
    "flatten",
    "float",
    "permute",
    "reshape",
    "squeeze",
    "to",
    "transpose",
    "type",
    "unbind",
    "unflatten",
    "unsqueeze",
    "view",
    "__get__",
}
"""Functions that change no number."""


class _Recorder(TorchFunctionMode):
    """Notes which node made each tensor, and makes a node of every function between the blocks."""

    def __init__(self, root: nn.Module, opened: tuple[str, ...], batch: int):
        super().__init__()
        self.root, self.opened, self.batch = root, opened, batch
        self.nodes: list[Node] = []
        self.made: dict[int, int] = {}  # id of a tensor → its node
        self.kept: list[Any] = []  # ids stay valid while their tensors live
        self.paths = {id(part): name for name, part in root.named_modules()}
        self.weights = {id(weight): name for name, weight in root.named_parameters()}
        self.inside: list[str] = [""]  # opened modules that run now
        self.block: str | None = None  # the block that runs now: its functions are its own
        self.given: dict[int, int] = {}  # id of a tensor given to it → its version then
        self.calls: dict[int, int] = {}  # id of a frame of a named function → its node
        self.ran: set[str] = set()

    # --- Nodes ---

    def input(self, value: torch.Tensor, name: str) -> None:
        self._note(value, self._add(Node("input", name, shapes=[self.shape(value)])))

    def _add(self, node: Node) -> int:
        node.within = self.inside[-1]
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _note(self, value: torch.Tensor, number: int) -> None:
        self.made[id(value)] = number
        self.kept.append(value)

    def shape(self, value: torch.Tensor) -> Shape:
        """Return a tensor's shape without its batch axis, if it has one."""
        return tuple(value.shape[1:] if value.shape[:1] == (self.batch,) else value.shape)

    def edge(self, value: torch.Tensor) -> Edge | None:
        number = self.made.get(id(value))
        return None if number is None else Edge(number, self.shape(value))

    def edges(self, values: Any) -> list[Edge]:
        """Return the edges of all traced tensors in `values`, each once, in order."""
        found = [self.edge(value) for value in _all(values, torch.Tensor)]
        return list(dict.fromkeys(edge for edge in found if edge is not None))

    # --- Modules ---

    def is_open(self, name: str) -> bool:
        return not name or any(_fits(name, pattern) for pattern in self.opened)

    def enter(self, module: nn.Module, arguments: tuple) -> None:
        name = self.paths[id(module)]
        if self.block is not None:
            return
        if self.is_open(name):
            self.inside.append(name)
            self.ran.add(name)
        elif not isinstance(module, nn.Identity):
            self.block = name
            self.given = {id(v): v._version for v in _all(arguments, torch.Tensor)}
            label, detail = describe(module)
            count = sum(weight.numel() for weight in module.parameters())
            if count and any(node.name == name for node in self.nodes):
                raise HandPoseError(
                    f"block {name!r} runs twice: accepted are networks that use a weight once"
                )
            self._add(
                Node(
                    "block",
                    label,
                    detail,
                    name,
                    inputs=self.edges(arguments),
                    parameters=count,
                    blocks=(name,),
                )
            )

    def leave(self, module: nn.Module, result: Any) -> None:
        name = self.paths[id(module)]
        if self.block is None and self.is_open(name):
            self.inside.pop()
        if self.block != name:
            return
        self.block = None
        number = len(self.nodes) - 1
        values = [*_all(result, torch.Tensor)]
        # What a block only passes on, it did not make, unless it makes nothing else (dropout).
        made = [value for value in values if self.given.get(id(value)) != value._version]
        for value in made or values:
            self._note(value, number)
            self.nodes[number].shapes.append(self.shape(value))

    # --- Functions between the modules ---

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.block is None:
            self._function(getattr(func, "__name__", ""), (args, kwargs), result)
        return result

    def _function(self, name: str, arguments: Any, result: Any) -> None:
        inputs, values = self._received(arguments), [*_all(result, torch.Tensor)]
        if not inputs or not values:
            return
        named = self._named_call()
        if named is not None:
            number = self._continued(*named, inputs, values)
        elif name in LAYOUT or (name == "__getitem__" and not _subsampled(arguments, values)):
            number = inputs[0].source
        else:
            label, detail = _operation(name, arguments, values, len(inputs))
            number = self._add(Node("operation", label, detail, inputs=inputs))
            self.nodes[number].shapes = [self.shape(value) for value in values]
        for value in values:
            self._note(value, number)

    def _received(self, arguments: Any) -> list[Edge]:
        """Return the edges of a function's arguments; a parameter that is new becomes a node."""
        for value in _all(arguments, nn.Parameter):
            if id(value) in self.weights and id(value) not in self.made:
                name = self.weights[id(value)]
                weight = Node("weight", name.rpartition(".")[2], name=name, blocks=(name,))
                weight.shapes, weight.parameters = [tuple(value.shape)], value.numel()
                self._note(value, self._add(weight))
        return self.edges(arguments)

    def _named_call(self) -> tuple[Any, str] | None:
        """Return the frame of the named function that runs now, and its label."""
        frame: Any = sys._getframe()
        while frame is not None:
            if frame.f_code in NAMED_FUNCTIONS:
                return frame, NAMED_FUNCTIONS[frame.f_code]
            frame = frame.f_back
        return None

    def _continued(
        self, frame: Any, label: str, inputs: list[Edge], values: list[torch.Tensor]
    ) -> int:
        """Return the node of a call of a named function, with what it receives and returns."""
        if id(frame) not in self.calls:
            self.kept.append(frame)
            self.calls[id(frame)] = self._add(Node("operation", label))
        number = self.calls[id(frame)]
        node = self.nodes[number]
        known = {edge.source for edge in node.inputs} | {number}
        node.inputs += [edge for edge in inputs if edge.source not in known]
        node.shapes = [self.shape(value) for value in values]
        return number

    # --- The end ---

    def check(self) -> None:
        """Raise unless every pattern opened a module, and every weight belongs to one node."""
        for pattern in self.opened:
            if not any(_fits(name, pattern) for name in self.ran):
                raise HandPoseError(f"opened {pattern!r}: no module of this path ran")
        found = sum(node.parameters for node in self.nodes)
        expected = sum(weight.numel() for weight in self.root.parameters())
        if found != expected:
            raise HandPoseError(
                f"{expected:,} weights, of which the blocks that ran have {found:,}: accepted are"
                " networks that use every weight in one block"
            )


class _Hooks:
    """Tells the recorder when a module begins and ends."""

    def __init__(self, root: nn.Module, recorder: _Recorder):
        self.handles = []
        for part in root.modules():
            self.handles.append(
                part.register_forward_pre_hook(lambda module, args: recorder.enter(module, args))
            )
            self.handles.append(
                part.register_forward_hook(lambda module, _, result: recorder.leave(module, result))
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()


def _operation(
    name: str, arguments: Any, values: list[torch.Tensor], inputs: int
) -> tuple[str, str]:
    """Return label and detail of a function between the blocks."""
    plain = name.strip("_")
    if name == "__getitem__":
        given = next(_all(arguments, torch.Tensor))
        step = round(given.shape[-1] / values[0].shape[-1])
        return f"every {_ORDINALS.get(step, f'{step}th')} pixel", ""
    if name == "interpolate":
        mode = arguments[1].get("mode", "nearest")
        return "enlarge", "nearest neighbour" if mode == "nearest" else mode
    label = OPERATIONS.get(plain, OPERATIONS.get(plain.removeprefix("r"), plain.replace("_", " ")))
    numbers = [value for value in arguments[0] if isinstance(value, int | float)]
    if plain in ("add", "sub", "mul", "div", "ge", "gt", "le", "lt") and inputs == 1 and numbers:
        sign = OPERATIONS.get(plain, _COMPARED.get(plain, plain))
        return f"{sign} {numbers[0]:g}".replace("-", "−"), ""
    if plain == "cat" and len([*_all(arguments, torch.Tensor)]) > inputs:
        return "concatenate with constants", ""
    return label, ""


_ORDINALS = {2: "second", 3: "third", 4: "fourth"}
_COMPARED = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _subsampled(arguments: Any, values: list[torch.Tensor]) -> bool:
    """Whether an index takes some of the pixels, and not only channels or new axes."""
    given = next(_all(arguments, torch.Tensor))
    return given.ndim >= 4 and values[0].shape[-1] < given.shape[-1] and values[0].ndim >= 4


# --- Words for modules --------------------------------------------------------

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def describe(module: nn.Module) -> tuple[str, str]:
    """Return in words what a module is, and a detail: kernels, levels; '' if there is none."""
    if isinstance(module, nn.Sequential):
        return _row(module)
    layer = _layer(module)
    return (layer, "") if layer else _composed(module)


def _row(row: nn.Sequential) -> tuple[str, str]:
    """Return the words of a row, equal neighbours counted, and the detail if there is one."""
    words: list[list[Any]] = []
    details = set()
    for part in row:
        if isinstance(part, nn.Identity):
            continue
        label, more = describe(part)
        details |= {more} - {""}
        if words and words[-1][0] == label:
            words[-1][1] += 1
        else:
            words.append([label, 1])
    detail = details.pop() if len(details) == 1 else ""
    return ", ".join(word if n == 1 else f"{n} × {word}" for word, n in words), detail


def _layer(layer: nn.Module) -> str:
    """Return the words of a single layer, with its kernel and stride; '' for what is none."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        transposed = "transposed " if layer.transposed else ""
        return f"{transposed}convolution {_kernel(layer)}{_stride(layer.stride)}"
    if isinstance(layer, nn.MaxPool2d | nn.MaxPool3d):
        axes = 2 if isinstance(layer, nn.MaxPool2d) else 3
        return f"max pooling {_sides(_first(layer.kernel_size), axes)}"
    if isinstance(layer, nn.AvgPool2d | nn.AvgPool3d):
        return "mean pooling"
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return "batch renorm" if "Renorm" in type(layer).__name__ else "batch norm"
    if isinstance(layer, nn.Linear):
        return "linear layer"
    names = {nn.ReLU: "ReLU", nn.Flatten: "flatten", nn.Sigmoid: "sigmoid"}
    if isinstance(layer, nn.Dropout):
        return f"dropout {layer.p:g}"
    return next((word for kind, word in names.items() if isinstance(layer, kind)), "")


def _composed(module: nn.Module) -> tuple[str, str]:
    """Return the words of a module with parts of its own, from its class and its layers."""
    name = type(module).__name__
    words = WORDS.get(name) or _split(name)
    body = getattr(module, "body", None)
    if isinstance(body, nn.Sequential):
        kernels = [part for part in body.modules() if isinstance(part, nn.modules.conv._ConvNd)]
        stride = "".join(_stride(part.stride) for part in kernels)
        order = "pre-activation, " if _normalises_first(module) else ""
        return words, f"{order}convolutions {', '.join(map(_kernel, kernels))}{stride}"
    nested = [part for part in module.modules() if hasattr(part, "down") and hasattr(part, "up")]
    if nested:
        return words, f"halves its map {_times(len(nested))}"
    return words, ""


WORDS = {
    "Residual": "residual block",
    "Bottleneck": "residual block",
    "Unit": "residual unit",
    "EncoderDecoder": "encoder-decoder",
    "Mask": "mask branch",
    "Prior": "linear model of poses",
    "JointGraphReasoning": "joint graph reasoning",
    "Vectors": "vector field",
}
"""Words for classes whose names alone would not tell."""


def _normalises_first(block: nn.Module) -> bool:
    """Whether batch norm and ReLU come before the first convolution."""
    layers = [part for part in block.modules() if not any(True for _ in part.children())]
    return isinstance(layers[0], nn.modules.batchnorm._BatchNorm)


def _kernel(layer: Any) -> str:
    return _sides(_first(layer.kernel_size), len(layer.kernel_size))


def _first(size: Any) -> int:
    """Return the side of a window, which PyTorch keeps as one number or as one for each axis."""
    return size if isinstance(size, int) else size[0]


def _sides(side: int, axes: int) -> str:
    """Return a window's size: '3×3' in two dimensions, '3³' in three."""
    return f"{side}×{side}" if axes == 2 else f"{side}{str(axes).translate(RAISED)}"


def _stride(stride: Any) -> str:
    return f", stride {stride[0]}" if stride[0] > 1 else ""


def _times(count: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(count, f"{count} times")


def _split(name: str) -> str:
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced.strip()


# --- Trees of values ----------------------------------------------------------


def _all(values: Any, kind: type) -> Iterator[Any]:
    """Yield all values of a kind in nested lists, tuples and dictionaries."""
    if isinstance(values, kind):
        yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from _all(value, kind)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _all(value, kind)


def _mapped(values: Any, change: Callable[[Any], Any], kind: type) -> Any:
    """Return nested lists and tuples with every value of a kind changed."""
    if isinstance(values, kind):
        return change(values)
    if isinstance(values, tuple) and hasattr(values, "_fields"):  # a NamedTuple
        return type(values)(*(_mapped(value, change, kind) for value in values))
    if isinstance(values, list | tuple):
        return type(values)(_mapped(value, change, kind) for value in values)
    return values


def _fits(name: str, pattern: str) -> bool:
    return name.count(".") == pattern.count(".") and fnmatchcase(name, pattern)
