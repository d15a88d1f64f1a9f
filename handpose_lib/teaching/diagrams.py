"""Block diagrams of the networks, with the shape of every tensor, drawn from their modules.

    diagrams.network(papers.create("v2v_posenet", "nyu14"))     # from the input to loss and joints
    diagrams.part(method, "stacks.0.reasoning")                 # one module of a network
    diagrams.levels(method, "encoder_decoder")                  # an encoder-decoder as a U

`dataflow.trace` records blocks, shapes, numbers of weights and connections in a forward pass; the
terms of the loss, the targets and the decoded joints come from calls of the method. A notebook
shows a diagram as SVG within its page, in the colours of the page's text, so that it is readable on
a light and on a dark page; it is narrow enough for a phone. `alt` describes it in words.
"""

import copy
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import Any

import torch
from torch import nn

from handpose_lib import papers, prepare
from handpose_lib.camera import Camera
from handpose_lib.errors import HandPoseError
from handpose_lib.frames import Crops
from handpose_lib.papers.method import Method
from handpose_lib.teaching import dataflow
from handpose_lib.teaching.dataflow import RAISED, Edge, Graph, Node, Shape
from handpose_lib.teaching.figures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

WIDTH = 344
"""Pixels. The column of a page is about as wide on a phone of 390 pixels."""
LABEL, SMALL = 13, 12
"""Pixels: size of the letters of labels, and of everything else."""


@dataclass(frozen=True)
class Diagram:
    """A drawing: `alt` describes it in words, `svg` is its source; a notebook displays it.

    graph     the blocks that it shows, equal neighbours as one
    """

    graph: Graph
    alt: str
    svg: str

    def _repr_html_(self) -> str:
        return f"<figure class='block-diagram' style='margin: 0'>{self.svg}</figure>"


def network(
    method: Method, opened: Iterable[str] | None = None, labels: Mapping[str, str] | None = None
) -> Diagram:
    """Draw a method from its input to its outputs, with targets, loss and decoding.

    `opened`: paths of the modules whose blocks are shown, as `dataflow.trace` takes them. None: the
    stem, every stack that is built differently from the first, and the links between stacks.
    `labels`: words for blocks and frames, by their paths, or for a label as it is drawn without:
    {"stacks.0.head": "votes", "concatenate with constants": "u and v of each pixel"}.
    Errors: those of `dataflow.trace`; a label for what is not drawn.
    """
    method = copy.deepcopy(method)
    crops = _crops(method)
    x = method.encode(crops)
    graph = dataflow.trace(method, x, _to_open(method) if opened is None else opened).merged()
    graph.nodes[0].label = "input"
    _name_repeated_stacks(method, graph)
    _relabel(graph, labels)
    ends = _ends(method, crops, graph)
    title = f"{papers.title(method.name)} for {len(method.skeleton)} joints"
    return _Column(graph, ends, labels).drawn(title)


def part(
    method: Method,
    name: str,
    opened: Iterable[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Diagram:
    """Draw the inside of one module of a method, with the shapes that it receives there.

    `name`: its path, as `named_modules` has it; `opened` and the paths of `labels` begin below it.
    Errors: a module that does not run, those of `dataflow.trace`.
    """
    module, graph = _traced_part(method, name, opened)
    _relabel(graph, labels)
    return _Column(graph, None, labels).drawn(_title(method, name, module))


def levels(method: Method, name: str, labels: Mapping[str, str] | None = None) -> Diagram:
    """Draw an encoder-decoder or hourglass of a method as a U: one row for each size of its maps.

    `name`: path of a module that halves its map and doubles it again, by parts of the names `down`,
    `skip`, `inner` and `up`. Errors: a module without them, and as of `part`.
    """
    module = _submodule(method, name)
    nested: list[str] = []
    for path, inside in module.named_modules():
        known = path.rpartition(".")[0] in ["", *nested]
        row = isinstance(inside, nn.Sequential) and _holds_blocks(inside)
        if path and (_is_level(inside) or (known and row)):
            nested.append(path)
    if not any(_is_level(inside) for inside in module.modules()):
        raise HandPoseError(
            f"{name!r} of {method.name}: accepted are modules with parts `down` and `up`"
        )
    module, graph = _traced_part(method, name, nested)
    _relabel(graph, labels)
    return _Valley(graph).drawn(_title(method, name, module))


# --- What is drawn ------------------------------------------------------------


@dataclass(frozen=True)
class _Ends:
    """What surrounds a network: outputs of each stack, targets, terms of the loss, joints."""

    outputs: list[list["_Output"]]
    targets: dict[str, Shape]
    terms: list[str]
    joints: Shape


@dataclass(frozen=True)
class _Output:
    name: str
    edge: Edge
    supervised: bool  # whether the loss depends on it


def _crops(method: Method) -> Crops:
    """Return two crops of a surface with joints before it; only their shapes matter."""
    camera = Camera(100.0, 100.0, 32.0, 32.0, 64, 64)
    spread = torch.rand(2, len(method.skeleton), 3, generator=torch.Generator().manual_seed(0))
    depth = 390 + 20 * torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(1))
    centre = torch.tensor([[0.0, 0.0, 400.0]]).expand(2, 3)
    return prepare.crop(depth, camera, centre, 200.0, centre[:, None] + 100 * (spread - 0.5))


def _ends(method: Method, crops: Crops, graph: Graph) -> _Ends:
    """Return what surrounds the network, from calls of its loss and decoding with zeros."""
    many = crops.index(torch.zeros(4 * len(method.skeleton), dtype=torch.long))
    assert many.joints is not None
    many = replace(many, joints=many.joints + torch.randn(many.joints.shape))
    method.before_training([many])
    y = [_zeros(stack) for stack in graph.result]
    loss = method.loss(y, crops)
    loss["total"].backward()
    stacks = [[*_fields(*both)] for both in zip(graph.outputs, y, strict=True)]
    learned = _learned(graph)
    given = {  # what some stack only passes on, such as places of pixels
        name for stack in stacks for name, edge, _ in stack if edge and edge.source not in learned
    }
    outputs = [
        [
            _Output(name, edge, value.grad is not None and bool(value.grad.any()))
            for name, edge, value in stack
            if edge is not None and name not in given
        ]
        for stack in stacks
    ]
    supervised = {output.name for stack in outputs for output in stack if output.supervised}
    targets = {
        name: tuple(value.shape[1:])
        for name, value, _ in _fields(method.targets(crops), method.targets(crops))
        if isinstance(value, torch.Tensor) and name in supervised
    }
    with torch.no_grad():
        joints = method.decode(y, crops)
    terms = [name for name in loss if name != "total"]
    return _Ends(outputs, targets, terms, tuple(joints.shape[1:]))


def _zeros(stack: Any) -> Any:
    """Return an output of zeros, whose gradients are recorded, in the shapes of one on 'meta'."""
    if isinstance(stack, torch.Tensor):
        return torch.zeros(2, *stack.shape[1:]).add(1e-3).requires_grad_()
    if isinstance(stack, tuple) and hasattr(stack, "_fields"):
        return type(stack)(*map(_zeros, stack))
    return tuple(map(_zeros, stack)) if isinstance(stack, tuple) else stack


def _fields(one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name and values of the same fields of two outputs; an item of a tuple has a number."""
    for name in one._fields:
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, tuple):
            for number, (a, b) in enumerate(zip(first, second, strict=True), 1):
                yield f"{name} {number}", a, b
        else:
            yield name, first, second


def _learned(graph: Graph) -> set[int]:
    """Return the numbers of the nodes that depend on weights."""
    found: set[int] = set()
    for number, node in enumerate(graph.nodes):
        if node.parameters or any(edge.source in found for edge in node.inputs):
            found.add(number)
    return found


def _to_open(method: Method) -> list[str]:
    """Return the paths of the modules that a drawing of the whole network shows from inside."""
    opened: list[str] = []
    for name, module in method.named_modules():
        parent, _, number = name.rpartition(".")
        in_list = bool(parent) and isinstance(method.get_submodule(parent), nn.ModuleList)
        own = type(module).__module__.startswith(papers.__name__)
        if (in_list and own and not _repeats_first(method, parent, number)) or (
            isinstance(module, nn.Sequential)
            and _holds_blocks(module)
            and (parent == "" or parent in opened)
        ):
            opened.append(name)
    return opened


def _repeats_first(method: Method, parent: str, number: str) -> bool:
    """Whether a stack or link has the weights of the first one of its list, in number and shape."""
    first, this = (method.get_submodule(f"{parent}.{n}") for n in ("0", number))
    shapes = [
        {name: weight.shape for name, weight in module.named_parameters()}
        for module in (first, this)
    ]
    return number != "0" and shapes[0] == shapes[1]


def _holds_blocks(row: nn.Module) -> bool:
    """Whether a row consists of blocks, and not of single layers only."""
    return any(
        any(True for _ in inside.children()) and not isinstance(inside, nn.Sequential)
        for inside in row.children()
    ) or all(isinstance(inside, nn.Sequential) for inside in row.children())


def _is_level(module: nn.Module) -> bool:
    return hasattr(module, "down") and hasattr(module, "up")


def _name_repeated_stacks(method: Method, graph: Graph) -> None:
    """Say of a stack that is drawn as one block that it is built as the first."""
    for node in graph.nodes:
        if found := re.fullmatch(r"(.+)\.(\d+)", node.name):
            parent = found.group(1)
            listed = isinstance(method.get_submodule(parent), nn.ModuleList)
            own = type(method.get_submodule(node.name)).__module__.startswith(papers.__name__)
            if listed and own:
                node.label = _numbered(node.name)
                node.detail = f"the same layers as {_numbered(parent + '.0')}"


def _numbered(path: str) -> str:
    """Return words for a path: 'stacks.0' as 'stack 1', 'stem' as 'stem'."""
    if found := re.fullmatch(r"(?:.*\.)?(\w+)\.(\d+)", path):
        name, number = found.groups()
        return f"{name.removesuffix('s').replace('_', ' ')} {int(number) + 1}"
    return path.rpartition(".")[2].replace("_", " ")


def _relabel(graph: Graph, labels: Mapping[str, str] | None) -> None:
    """Give blocks, operations and frames the words of the reader's page."""
    for key, label in (labels or {}).items():
        nodes = [node for node in graph.nodes if key in (*node.blocks[:1], node.label)]
        if not nodes and not any(_frame(node) == key for node in graph.nodes):
            raise HandPoseError(f"label for {key!r}: accepted are blocks, frames and words drawn")
        for node in nodes:
            node.label = label


def _frame(node: Node) -> str:
    """Return the path of the outermost opened module around a node."""
    if not node.within:
        return ""
    first, *rest = node.within.split(".")
    return f"{first}.{rest[0]}" if rest and rest[0].isdigit() else first


def _submodule(method: Method, name: str) -> nn.Module:
    modules = dict(method.named_modules())
    if name not in modules:
        raise HandPoseError(
            f"part {name!r} of {method.name}: accepted are paths of named_modules()"
        )
    return modules[name]


def _traced_part(method: Method, name: str, opened: Iterable[str]) -> tuple[nn.Module, Graph]:
    module = _submodule(method, name)
    arguments = dataflow.arguments_of(method, method.encode(_crops(method)), name)
    return module, dataflow.trace(module, arguments, opened).merged()


def _title(method: Method, name: str, module: nn.Module) -> str:
    return f"{dataflow.describe(module)[0]} ({name}) of {papers.title(method.name)}"


# --- Words --------------------------------------------------------------------


def written(shape: Shape) -> str:
    """Return a shape without its batch axis as it is printed: (16, 44, 44, 44) as '16 × 44³'."""
    same = 0
    while same < len(shape) - 1 and shape[-1 - same] == shape[-1]:
        same += 1
    sides = [str(side) for side in shape]
    if len(shape) > 2 and 2 <= same <= 3:
        sides[-same:] = [f"{shape[-1]}{str(same).translate(RAISED)}"]
    return " × ".join(sides)


def _texts(node: Node, inputs: bool) -> list[tuple[str, float]]:
    """Return what a box says, each text with its size; `inputs`: also the shapes it receives."""
    count = len(node.blocks)
    shapes = [written(edge.shape) for edge in node.inputs] if inputs else []
    texts = [
        f"{count} × {node.label}" if count > 1 else node.label,
        node.detail,
        ("of " if len(shapes) > 1 else "from ") + " and ".join(shapes) if shapes else "",
        f"{node.parameters:,} weights" if node.parameters else "",
    ]
    return [(text, SMALL if number else LABEL) for number, text in enumerate(texts) if text]


def _lines(node: Node, width: float, inputs: bool) -> list["_Line"]:
    """Return the lines of a box, at most `width` pixels wide."""
    return _set(_texts(node, inputs), width)


@dataclass(frozen=True)
class _Line:
    text: str
    size: float


def _set(texts: Iterable[tuple[str, float]], width: float) -> list[_Line]:
    """Return texts, each with its size, in lines of at most `width` pixels."""
    return [_Line(line, size) for text, size in texts for line in _wrapped(text, width, size)]


def _listed(title: str, *texts: str, width: float = 1000) -> list[_Line]:
    """Return the lines of a box with a title."""
    return _set([(title, LABEL), *((text, SMALL) for text in texts)], width)


def _words(node: Node, inputs: bool) -> str:
    """Return the same in words, with the shape of the output."""
    texts = ", ".join(text for text, _ in _texts(node, inputs))
    return f"{texts}, gives {written(node.shapes[0])}"


def _wrapped(text: str, width: float, size: float) -> list[str]:
    """Return a text in lines of at most `width` pixels; a shape is never broken."""
    kept = text.replace(" × ", "\u00a0×\u00a0")
    letters = max(8, int(width / (0.55 * size)))
    lines = wrap(kept, letters, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


# --- Drawing ------------------------------------------------------------------


@dataclass
class _Canvas:
    """Pieces of an SVG, and how far down they reach."""

    pieces: list[str] = field(default_factory=list)
    height: float = 0

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = SMALL,
        anchor: str = "middle",
        strong: bool = False,
        kind: str = "",
    ) -> None:
        weight = " font-weight='600'" if strong else ""
        sort = f" class='{kind}'" if kind else ""
        self.pieces.append(
            f"<text x='{x:g}' y='{y:g}' font-size='{size}' text-anchor='{anchor}'{weight}{sort}>"
            f"{html.escape(text)}</text>"
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str = "currentColor",
        radius: float = 5,
        dashed: bool = False,
        opacity: float = 0.07,
    ) -> None:
        dashes = " stroke-dasharray='4 3'" if dashed else ""
        self.pieces.append(
            f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='{radius:g}'"
            f" fill='{colour}' fill-opacity='{opacity:g}' stroke='{colour}'"
            f" stroke-opacity='0.7'{dashes}/>"
        )

    def block(self, node: Node, x: float, top: float, width: float, lines: Sequence[_Line]) -> None:
        """Draw a node: a box, or with round ends for an operation without weights."""
        colour = {"input": BLUE, "weight": GREEN}.get(node.kind, "currentColor")
        operation = node.kind == "operation"
        self.box(
            x,
            top,
            width,
            _height(lines),
            colour,
            radius=min(15, _height(lines) / 2) if operation else 5,
            opacity=0 if operation else 0.07,
        )
        self.lines(x + width / 2, top + 3, lines)

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = "currentColor",
        dashed: bool = False,
        arrow: bool = True,
    ) -> None:
        """Draw a line through points, with a head at its end."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dashes = " stroke-dasharray='4 3'" if dashed else ""
        self.pieces.append(
            f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.5'{dashes}/>"
        )
        if arrow:
            (a, b), (x, y) = points[-2:]
            along = (0.0, 1.0 if y > b else -1.0) if x == a else (1.0 if x > a else -1.0, 0.0)
            self.head(x, y, along, colour)

    def head(self, x: float, y: float, along: tuple[float, float], colour: str) -> None:
        dx, dy = along
        corners = [
            (x, y),
            (x - 7 * dx - 4 * dy, y - 7 * dy + 4 * dx),
            (x - 7 * dx + 4 * dy, y - 7 * dy - 4 * dx),
        ]
        path = " ".join(f"{a:g},{b:g}" for a, b in corners)
        self.pieces.append(f"<polygon points='{path}' fill='{colour}'/>")

    def dot(self, x: float, y: float, colour: str) -> None:
        self.pieces.append(f"<circle cx='{x:g}' cy='{y:g}' r='3' fill='{colour}'/>")

    def lines(self, x: float, y: float, lines: Sequence[_Line]) -> None:
        """Write lines below each other, those of a label bold."""
        for number, line in enumerate(lines):
            strong = line.size == LABEL
            self.text(x, y + LINE * number + LABEL, line.text, line.size, strong=strong)

    def svg(self, width: float, alt: str) -> str:
        size = f"0 0 {width:g} {self.height:g}"
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{size}' width='{width:g}'"
            f" height='{self.height:g}' role='img' aria-label=\"{html.escape(alt)}\""
            " style='max-width: 100%; height: auto; color: inherit'"
            " font-family='system-ui, sans-serif' fill='currentColor'>"
            + "".join(self.pieces)
            + "</svg>"
        )


LINE = 16
"""Pixels from one line of a box to the next."""
GAP = 30
"""Pixels between two boxes, for an arrow and the shape beside it."""
LANE = 10
"""Pixels between two lines that run beside the column of boxes."""
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Of the lines beside the column."""


def _height(lines: Sequence[_Line]) -> float:
    return LINE * len(lines) + 8


class _Column:
    """A graph as a column of boxes, one below the other in the order in which they run.

    A tensor that a later box uses runs down in a lane on the left; an output that the loss uses
    runs down on the right, dashed.
    """

    def __init__(self, graph: Graph, ends: _Ends | None, labels: Mapping[str, str] | None):
        self.graph, self.ends, self.canvas = graph, ends, _Canvas()
        self.labels = labels or {}
        self.lanes = self._lanes()
        self.inset = 8 if any(_frame(node) for node in graph.nodes) else 0
        used = 1 + max(self.lanes.values(), default=-1)
        self.left = 4 + LANE * used + self.inset
        self.right = WIDTH - (16 if ends else 4) - self.inset
        self.middle = (self.left + self.right) / 2
        self.words: list[str] = []
        self.bottom: float | None = None  # of the box from which an arrow leads on
        self.bottoms: dict[int, float] = {}
        self.arrivals: dict[int, list[float]] = {}  # source of a lane → heights where it ends
        self.supervised: list[float] = []  # heights at which the loss takes an output

    def drawn(self, title: str) -> Diagram:
        y, frame, start = 4.0, "", 0.0
        for number, node in enumerate(self.graph.nodes):
            if _frame(node) != frame:
                if frame:
                    y = self._close(start, y)
                frame = _frame(node)
                if frame:
                    start, y = y, y + 22
                    name = self.labels.get(frame, _numbered(frame))
                    self.canvas.text(self.left, start + 15, name, SMALL, "start", True)
            y = self._node(number, node, y)
            for stack in self._stacks_after(number):
                y = self._outputs(stack, y)
        if frame:
            y = self._close(start, y)
        for source, heights in self.arrivals.items():
            self._lane(source, heights)
        if self.ends is not None:
            y = self._finish(y)
        else:
            self._arrow(y)
            self.canvas.text(self.middle, y + 14, "output", LABEL, strong=True)
            y += 18
        self.canvas.height = y + 4
        alt = f"Block diagram of {title}, from top to bottom: {'; '.join(self.words)}."
        return Diagram(self.graph, alt, self.canvas.svg(WIDTH, alt))

    def _arrow(self, top: float) -> None:
        """Lead the arrow from the box above, if there is one, to the box that begins here."""
        if self.bottom is not None:
            self.canvas.line([(self.middle, self.bottom), (self.middle, top)])

    # --- Boxes ---

    def _node(self, number: int, node: Node, top: float) -> float:
        """Draw a box and the shape below it; return where the next box begins."""
        far = [edge for edge in node.inputs if not self._follows(edge.source, number)]
        inputs = bool(far) or len(node.inputs) > 1
        lines = _lines(node, self.right - self.left - 12, inputs)
        height = _height(lines)
        self._arrow(top)
        self.canvas.block(node, self.left, top, self.right - self.left, lines)
        for place, edge in enumerate(far):
            share = (place + 1) / (len(far) + 1)
            self.arrivals.setdefault(edge.source, []).append(top + height * share)
        bottom = self.bottoms[number] = top + height
        if not self._only_outputs(number):
            self.canvas.text(
                self.middle + 8, bottom + 19, written(node.shapes[0]), SMALL, "start", kind="shape"
            )
        self.bottom = bottom if self._goes_on(number) else None
        self.words.append(_words(node, inputs))
        return bottom + GAP

    def _outputs(self, stack: int, top: float) -> float:
        """Draw the outputs of a stack, and return where the next box begins."""
        assert self.ends is not None
        outputs = self.ends.outputs[stack]
        last = stack == len(self.ends.outputs) - 1
        name = f"output of stack {stack + 1}" if len(self.ends.outputs) > 1 else "output"
        lines = _listed(name, *(f"{each.name}: {written(each.edge.shape)}" for each in outputs))
        height = _height(lines)
        self._arrow(top)
        self.canvas.box(self.left, top, self.right - self.left, height, BLUE)
        self.canvas.lines(self.middle, top + 3, lines)
        self.supervised += [
            top + LINE * (place + 1) + LABEL
            for place, output in enumerate(outputs)
            if output.supervised
        ]
        self.words.append(", ".join(line.text for line in lines))
        self.bottom = top + height if last else None
        return top + height + GAP

    def _finish(self, top: float) -> float:
        """Draw decoding, loss and targets; return where the drawing ends."""
        assert self.ends is not None and self.bottom is not None
        ends, canvas = self.ends, self.canvas
        gap, x0, x1 = 12, 4.0, WIDTH - 20.0
        half = (x1 - x0 - gap) / 2
        decoding = _listed("decoding", f"joints: {written(ends.joints)}", "in mm")
        loss = _listed("loss", "terms: " + ", ".join(ends.terms), width=half - 12)
        targets = _listed(
            "targets", *(f"{name}: {written(shape)}" for name, shape in ends.targets.items())
        )
        height = max(_height(decoding), _height(loss))
        for x in (x0 + half / 2, x1 - half / 2):  # from the last output to both
            canvas.line([(self.middle, self.bottom), (self.middle, top), (x, top), (x, top + 16)])
        top += 16
        canvas.box(x0, top, half, height, GREEN)
        canvas.lines(x0 + half / 2, top + 3, decoding)
        canvas.box(x1 - half, top, half, height, VERMILION)
        canvas.lines(x1 - half / 2, top + 3, loss)
        if len(ends.outputs) > 1:
            rail, at = WIDTH - 6.0, top + height / 2
            for y in self.supervised:
                canvas.line([(self.right, y), (rail, y)], VERMILION, dashed=True, arrow=False)
            canvas.line(
                [(rail, min(self.supervised)), (rail, at), (x1, at)], VERMILION, dashed=True
            )
        below = top + height + 22
        canvas.line([(x1 - half / 2, below), (x1 - half / 2, top + height)], VERMILION)
        canvas.box(x1 - half, below, half, _height(targets), VERMILION)
        canvas.lines(x1 - half / 2, below + 3, targets)
        self.words += [", ".join(line.text for line in each) for each in (targets, loss, decoding)]
        return below + _height(targets)

    # --- Frames around opened modules ---

    def _close(self, start: float, y: float) -> float:
        """Draw the frame of an opened module that ends here; return where the next box begins."""
        left, right = self.left - self.inset, self.right + self.inset
        self.canvas.box(left, start, right - left, y - 4 - start, dashed=True, opacity=0.02)
        return y + 6

    # --- Lanes ---

    def _stacks_after(self, number: int) -> list[int]:
        """Return the stacks whose last output node `number` makes."""
        if self.ends is None:
            return []
        return [
            stack
            for stack, outputs in enumerate(self.ends.outputs)
            if max(output.edge.source for output in outputs) == number
        ]

    def _only_outputs(self, number: int) -> bool:
        """Whether a block makes several tensors, all of them outputs with a shape of their own."""
        several = len(self.graph.nodes[number].shapes) > 1
        return several and self.ends is not None and not self.graph.consumers(number)

    def _follows(self, source: int, number: int) -> bool:
        """Whether a node stands directly below the one whose output it receives."""
        return source == number - 1 and not self._stacks_after(source)

    def _goes_on(self, number: int) -> bool:
        """Whether an arrow leads from a node to what is drawn directly below it."""
        if self._stacks_after(number):
            return True
        if number == len(self.graph.nodes) - 1:
            return True
        return any(edge.source == number for edge in self.graph.nodes[number + 1].inputs)

    def _far(self) -> dict[int, int]:
        """Return for every source of a lane the last node that it leads to."""
        far: dict[int, int] = {}
        for number, node in enumerate(self.graph.nodes):
            for edge in node.inputs:
                if not self._follows(edge.source, number):
                    far[edge.source] = number
        return far

    def _lanes(self) -> dict[int, int]:
        """Return a lane for every source, 0 the nearest: two that overlap have different lanes."""
        far = self._far()
        lanes: dict[int, int] = {}
        for source in sorted(far, key=lambda each: far[each] - each):
            taken = {
                lane
                for other, lane in lanes.items()
                if other <= far[source] and source <= far[other]
            }
            lanes[source] = next(lane for lane in range(len(far)) if lane not in taken)
        return lanes

    def _lane(self, source: int, heights: list[float]) -> None:
        x = self.left - self.inset - LANE * (self.lanes[source] + 0.6)
        colour = COLOURS[self.lanes[source] % len(COLOURS)]
        start = self.bottoms[source] + 7
        self.canvas.dot(self.middle, start, colour)
        if not self._goes_on(source):
            self.canvas.line(
                [(self.middle, self.bottoms[source]), (self.middle, start)], colour, arrow=False
            )
        self.canvas.line([(self.middle, start), (x, start), (x, max(heights))], colour, arrow=False)
        for y in heights:
            self.canvas.line([(x, y), (self.left, y)], colour)


class _Valley:
    """A graph as a U: down on the left, skips in the middle, up again on the right.

    A row has the boxes whose outputs have one size.
    """

    LEFT, MIDDLE, RIGHT = 4.0, 123.0, 242.0
    BREADTH = 98.0

    def __init__(self, graph: Graph):
        self.graph, self.canvas = graph, _Canvas()
        self.down, self.up = self.LEFT + self.BREADTH / 2, self.RIGHT + self.BREADTH / 2
        self.places: dict[int, tuple[float, float]] = {}  # node → top and bottom of its box
        self.bridges: dict[int, float] = {}  # side of a row → height of the arrow across
        sides = sorted({self._side(node) for node in graph.nodes}, reverse=True)
        self.rows: dict[int, dict[str, list[int]]] = {
            side: {"left": [], "middle": [], "before": [], "sum": [], "after": []} for side in sides
        }
        turned = False
        for number, node in enumerate(graph.nodes):
            row = self.rows[self._side(node)]
            column = self._column(node, turned)
            turned = turned or column in ("before", "sum", "after")
            if column == "before" and row["sum"]:
                column = "after"
            row[column].append(number)

    def _side(self, node: Node) -> int:
        return node.shapes[0][-1]

    def _column(self, node: Node, turned: bool) -> str:
        """Return where a node belongs, by the name of its part and whether the way up has begun."""
        parts = [name for name in node.name.split(".") if name in ("down", "skip", "up", "after")]
        if node.kind == "input" or "down" in parts:
            return "left"
        if "skip" in parts:
            return "middle"
        if parts or turned or node.label == "enlarge":
            return "sum" if node.label == "+" and len(node.inputs) > 1 else "before"
        if node.kind == "operation":
            return "left"
        return "middle"  # the lowest level

    def drawn(self, title: str) -> Diagram:
        lowest = [*self.rows][-1]
        y = 4.0 + (GAP if self.rows[next(iter(self.rows))]["after"] else 0)
        for side, row in self.rows.items():
            if side == lowest and not row["sum"]:  # the way up begins above the bridge
                row["after"], row["before"] = row["before"] + row["after"], []
            boxes = {kind: [self._lines(n) for n in numbers] for kind, numbers in row.items()}
            boxes["middle"] = [self._lines(n, True) for n in row["middle"]]
            stacked = [
                sum(_height(lines) + GAP for lines in boxes[kind]) for kind in ("left", "after")
            ]
            thick = sum(_height(lines) for lines in boxes["middle"])
            bridge = self.bridges[side] = y + max(*stacked, thick / 2) + 6
            top = bridge - stacked[0]
            for number, lines in zip(row["left"], boxes["left"]):
                top = self._place(number, self.LEFT, top, lines) + GAP
            top = bridge - thick / 2
            for number, lines in zip(row["middle"], boxes["middle"]):
                top = self._place(number, self.MIDDLE, top, lines)
            # Up on the right: above the bridge what follows the sum, below it what precedes it.
            low = bridge - (6 if row["sum"] else 0)
            for number, lines in zip(row["after"], boxes["after"]):
                low -= _height(lines) + GAP
                self._place(number, self.RIGHT, low, lines)
            for number in row["sum"]:
                self.canvas.box(self.up - 12, bridge - 12, 24, 24, radius=12, opacity=0)
                self.canvas.text(self.up, bridge + 5, "+", 16)
                self.places[number] = (bridge - 12, bridge + 12)
            top = bridge + (12 if row["sum"] else 0)
            for number, lines in zip(reversed(row["before"]), reversed(boxes["before"])):
                top = self._place(number, self.RIGHT, top + GAP, lines)
            y = max(top, bridge + thick / 2) + 8
        self._connect()
        for line in self._legend():
            self.canvas.text(self.LEFT, y + LINE, line.text, SMALL, "start")
            y += LINE
        self.canvas.height = y + 8
        words = "; ".join(_words(node, False) for node in self.graph.nodes)
        alt = f"Diagram of the {title} as a U, in the order of its steps: {words}."
        return Diagram(self.graph, alt, self.canvas.svg(WIDTH, alt))

    def _details(self) -> dict[str, str]:
        """Return the details that all blocks of one label share: they are told once, below."""
        found: dict[str, set[str]] = {}
        for node in self.graph.nodes:
            found.setdefault(node.label, set()).add(node.detail)
        return {
            label: next(iter(details))
            for label, details in found.items()
            if len(details) == 1 and "" not in details
        }

    def _legend(self) -> list[_Line]:
        texts = [f"{label}: {detail}" for label, detail in self._details().items()]
        return _set([(text, SMALL) for text in texts], WIDTH - 2 * self.LEFT)

    def _lines(self, number: int, shape: bool = False) -> list[_Line]:
        node = copy.copy(self.graph.nodes[number])
        if node.label in self._details():
            node.detail = ""
        lines = _lines(node, self.BREADTH - 8, False)
        return [*lines, _Line(f"→ {written(node.shapes[0])}", SMALL)] if shape else lines

    def _place(self, number: int, x: float, top: float, lines: Sequence[_Line]) -> float:
        """Draw a box, and return where it ends."""
        self.canvas.block(self.graph.nodes[number], x, top, self.BREADTH, lines)
        self.places[number] = (top, top + _height(lines))
        return top + _height(lines)

    def _connect(self) -> None:
        """Draw the arrows, with the shape beside each that runs up or down."""
        sides = [*self.rows]
        lowest = self.bridges[sides[-1]]
        down = [number for row in self.rows.values() for number in row["left"]]
        for number, after in zip(down, [*down[1:], None]):
            y, end = self.places[number][1], lowest if after is None else self.places[after][0]
            self.canvas.line([(self.down, y), (self.down, end)], arrow=after is not None)
            self._shape(self.down + 6, y + 14, number, "start")
        for side, row in self.rows.items():
            y, begin = self.bridges[side], self.down
            end = self.up - (12 if row["sum"] else 0)
            if row["middle"]:
                self.canvas.line([(self.down, y), (self.MIDDLE, y)])
                begin = self.MIDDLE + self.BREADTH
            if row["middle"] or side == sides[-1]:
                self.canvas.line([(begin, y), (end, y)], arrow=bool(row["sum"]))
            if row["middle"] and side != sides[-1]:
                self.canvas.dot(self.down, y, "currentColor")
        up = [
            number
            for side in reversed(sides)
            for kind in ("before", "sum", "after")
            for number in self.rows[side][kind]
        ]
        start = lowest
        for number in up:
            top, bottom = self.places[number]
            self.canvas.line([(self.up, start), (self.up, bottom)])
            self._shape(self.up - 6, top - 6, number, "end")
            start = top
        self.canvas.line([(self.up, start), (self.up, start - 20)])

    def _shape(self, x: float, y: float, number: int, anchor: str) -> None:
        shape = written(self.graph.nodes[number].shapes[0])
        self.canvas.text(x, y, shape, SMALL, anchor, kind="shape")
