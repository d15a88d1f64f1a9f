"""Diagrams show the blocks, shapes, weights and connections that the networks themselves have."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from handpose_lib import papers
from handpose_lib.errors import HandPoseError
from handpose_lib.teaching import dataflow, diagrams

PAPERS = papers.names()
SIZES = {  # small networks of every paper, as deep as the paper's
    "v2v_posenet": {"size": 24, "width": 4},
    "structure_aware_hourglass": {"size": 32, "channels": 8},
    "residual_attention": {"size": 64, "width": 8},
    "jgr_p2o": {"size": 48, "channels": 16},
    "densereg": {"size": 64, "channels": 16},
}
LEVELS = {
    "v2v_posenet": "encoder_decoder",
    "structure_aware_hourglass": "stacks.0.hourglass.0",
    "residual_attention": "attention.0.mask",
    "jgr_p2o": "stacks.0.hourglass.0",
    "densereg": "stacks.0.hourglass",
}


def small(paper):
    return papers.create(paper, "nyu14", "paper", **SIZES[paper]).eval()


@pytest.fixture(scope="module", params=PAPERS)
def drawn(request):
    method = small(request.param)
    return method, diagrams.network(method)


def texts(diagram, kind=None):
    """The texts of a drawing, or those of a class."""
    sort = f" class='{kind}'" if kind else "[^>]*"
    return re.findall(rf"<text [^>]*?{sort}>([^<]*)</text>", diagram.svg)


def run(method):
    """Shapes that the modules return in a forward pass on the CPU, without the batch."""
    shapes, handles = {}, []

    def note(name):
        def hook(_, __, result):
            first = result[0] if isinstance(result, tuple) else result
            if isinstance(first, torch.Tensor):
                shapes[name] = tuple(first.shape[1:])

        return hook

    for name, module in method.named_modules():
        handles.append(module.register_forward_hook(note(name)))
    crops = diagrams._crops(method)
    with torch.no_grad():
        y = method(method.encode(crops))
    for handle in handles:
        handle.remove()
    return shapes, y, crops


def test_every_shape_is_the_modules(drawn):
    method, diagram = drawn
    shapes, _, _ = run(method)
    blocks = [node for node in diagram.graph.nodes if node.kind == "block"]
    for node in blocks:
        assert node.shapes[0] == shapes[node.blocks[-1]], node.name
    printed = texts(diagram, "shape")
    expected = [diagrams.written(node.shapes[0]) for node in diagram.graph.nodes]
    left = iter(expected)
    assert all(shape in left for shape in printed), "in the order of the nodes"
    assert len(printed) >= len(expected) - 1, "all but a last stack's, whose outputs say their own"


def test_every_module_with_weights_is_in_one_block_and_the_counts_add_up(drawn):
    method, diagram = drawn
    drawn_blocks = [path for node in diagram.graph.nodes for path in node.blocks]
    assert len(set(drawn_blocks)) == len(drawn_blocks)
    for name, _ in method.named_parameters():
        holders = [path for path in drawn_blocks if name == path or name.startswith(f"{path}.")]
        assert len(holders) == 1, f"{name} is in {holders}"
    total = sum(weight.numel() for weight in method.parameters())
    assert sum(node.parameters for node in diagram.graph.nodes) == total


def test_every_number_of_weights_is_printed(drawn):
    _, diagram = drawn
    printed = [text for text in texts(diagram) if text.endswith(" weights")]
    assert printed == [f"{n.parameters:,} weights" for n in diagram.graph.nodes if n.parameters]


def test_connections_are_those_of_the_forward_pass(drawn):
    """Noise on a block's output changes the blocks that it leads to, and no block beside them."""
    method, diagram = drawn
    nodes = diagram.graph.nodes
    behind: list[set[int]] = []  # all nodes on which a node depends
    for node in nodes:
        sources = {edge.source for edge in node.inputs}
        behind.append(sources.union(*(behind[source] for source in sources)))
    x = method.encode(diagrams._crops(method))
    blocks = {n: node.blocks[-1] for n, node in enumerate(nodes) if node.kind == "block"}

    def outputs(noisy=None):
        """What the blocks return, one of them with noise added."""
        kept, handles = {}, []

        def hook(number):
            def keep(_, __, result):
                first = result[0] if isinstance(result, tuple) else result
                if number == noisy:
                    first = first + 10 * torch.rand(first.shape)
                    result = (first, *result[1:]) if isinstance(result, tuple) else first
                kept[number] = first.clone()
                return result

            return keep

        for number, name in blocks.items():
            handles.append(method.get_submodule(name).register_forward_hook(hook(number)))
        with torch.no_grad():
            method(x)
        for handle in handles:
            handle.remove()
        return kept

    calm = outputs()
    for noisy in [*blocks][::3]:
        after = outputs(noisy)
        for number, node in enumerate(nodes):
            if number not in blocks or number == noisy:
                continue
            same = torch.equal(calm[number], after[number])
            if noisy not in behind[number]:
                assert same, f"{node.name} depends on {nodes[noisy].name}"
            elif any(edge.source == noisy for edge in node.inputs):
                assert not same, f"{node.name} does not depend on {nodes[noisy].name}"


def test_outputs_targets_and_loss_are_the_methods(drawn):
    method, diagram = drawn
    _, y, crops = run(method)
    assert crops.joints is not None
    poses = [crops.joints + 9 * torch.randn(crops.joints.shape) for _ in range(40)]
    method.before_training([replace(crops, joints=joints) for joints in poses])
    shown = " ".join(texts(diagram))
    for name in method.loss(y, crops):
        assert name == "total" or name in shown
    target, output = method.targets(crops), y[-1]
    for name in target._fields:
        value = getattr(output, name)
        if isinstance(value, torch.Tensor) and f"{name}: " in shown:
            assert f"{name}: {diagrams.written(tuple(value.shape[1:]))}" in shown
    assert f"joints: {len(method.skeleton)} × 3" in shown and "in mm" in shown


@pytest.mark.parametrize("paper", PAPERS)
def test_levels_go_down_and_up_once(paper):
    method = small(paper)
    diagram = diagrams.levels(method, LEVELS[paper])
    part = method.get_submodule(LEVELS[paper])
    assert sum(n.parameters for n in diagram.graph.nodes) == sum(
        weight.numel() for weight in part.parameters()
    )
    sides = [node.shapes[0][-1] for node in diagram.graph.nodes if "skip" not in node.name]
    lowest = sides.index(min(sides))
    assert sides[: lowest + 1] == sorted(sides[: lowest + 1], reverse=True)
    assert sides[lowest:] == sorted(sides[lowest:])
    assert sides[0] == sides[-1] > min(sides)


def test_a_part_receives_what_the_network_gives_it():
    method = small("jgr_p2o")
    diagram = diagrams.part(method, "stacks.0.reasoning")
    x, edges = diagram.graph.nodes[:2]
    assert (x.label, x.shapes) == ("x", [(16, 12, 12)])
    assert (edges.label, edges.shapes) == ("edges", [(14, 14)])


def test_nothing_is_wider_than_a_phone_or_smaller_than_twelve_pixels(drawn):
    _, diagram = drawn
    sizes = [float(size) for size in re.findall(r"font-size='([\d.]+)'", diagram.svg)]
    assert min(sizes) >= 12
    for x, width in re.findall(r"<rect x='([-\d.]+)' y='[-\d.]+' width='([\d.]+)'", diagram.svg):
        assert float(x) >= 0 and float(x) + float(width) <= diagrams.WIDTH


def test_texts_take_the_colour_of_the_page(drawn):
    _, diagram = drawn
    assert "<text" in diagram.svg and not re.search(r"<text [^>]*fill=", diagram.svg)
    assert "fill='currentColor'" in diagram.svg and "aria-label" in diagram.svg


def test_alt_names_every_block_in_order(drawn):
    _, diagram = drawn
    at = 0
    for node in diagram.graph.nodes:
        at = diagram.alt.index(node.label, at)


class Branches(nn.Module):
    """Two blocks side by side, a weight of its own, and an index that takes every second pixel."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 1)
        self.scale = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x):
        return (self.one(x) + self.two(x) * self.scale)[..., ::2, ::2].flatten(1)


def test_operations_and_weights_between_blocks_are_nodes():
    graph = dataflow.trace(Branches(), torch.zeros(3, 1, 8, 8))
    assert [(node.kind, node.label) for node in graph.nodes] == [
        ("input", "x"),
        ("block", "convolution 3×3"),
        ("block", "convolution 1×1"),
        ("weight", "scale"),
        ("operation", "×"),
        ("operation", "+"),
        ("operation", "every second pixel"),
    ]
    product, total, part = graph.nodes[4:]
    assert [edge.source for edge in product.inputs] == [2, 3]
    assert [edge.source for edge in total.inputs] == [1, 4]
    assert part.shapes == [(2, 4, 4)] and graph.outputs == dataflow.Edge(6, (32,))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x))


class Unused(Branches):
    def forward(self, x):
        return self.one(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dataflow.trace(Twice(), torch.zeros(1, 4)), "twice"),
        (lambda: dataflow.trace(Unused(), torch.zeros(1, 1, 4, 4)), "every weight"),
        (lambda: dataflow.trace(Branches(), torch.zeros(1, 1, 4, 4), ["three"]), "three"),
        (lambda: diagrams.part(small("jgr_p2o"), "stacks.9"), "stacks.9"),
        (lambda: diagrams.levels(small("v2v_posenet"), "stem"), "down"),
        (lambda: diagrams.network(small("v2v_posenet"), labels={"tail": "t"}), "tail"),
    ],
)
def test_errors(make, message):
    with pytest.raises(HandPoseError, match=message):
        make()


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((16, 44, 44, 44), "16 × 44³"),
        ((1, 96, 96), "1 × 96²"),
        ((3, 14, 24, 24), "3 × 14 × 24²"),
        ((14, 14), "14 × 14"),
        ((14, 3), "14 × 3"),
        ((2, 3, 5), "2 × 3 × 5"),
        ((30,), "30"),
    ],
)
def test_shapes_as_words(shape, text):
    assert diagrams.written(shape) == text
