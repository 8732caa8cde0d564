"""The cut through a frozen graph: which of its operations are the network that all runtimes run.

From the tensor on that serving/signatures.py names NETWORK_INPUT, an operation belongs to the
network as long as it is in KNOWN and reads nothing but the network. What only depends on shapes is
computed again behind the cut.
"""

from __future__ import annotations

import dataclasses
import itertools
import re

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

NETWORK_INPUT = "network_input"  # the tensor behind preprocessing
# What all runtimes compute alike. Not among them: suppression (boxes whose overlap is the threshold
# are kept by one and dropped by another), crops of regions, pooling that says places, bicubic
# resizing, loops, strings.
_KNOWN = """
Abs Add AddN AddV2 ArgMax AvgPool BatchMatMulV2 BatchToSpaceND BiasAdd BroadcastTo Cast Ceil
ConcatV2 Const Conv2D Conv2DBackpropInput Cumsum DepthToSpace DepthwiseConv2dNative Einsum Elu
Equal Erf Exp Expm1 ExpandDims Fill Floor FloorDiv FusedBatchNormV3 GatherNd GatherV2 Greater
GreaterEqual Identity IdentityN LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd
LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum MirrorPad Mul Neg NotEqual
OnesLike Pack Pad PadV2 Pow Prod RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
ResizeNearestNeighbor Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Slice Softmax Softplus
SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient
StridedSlice Sub Sum Tanh Tile TopKV2 Transpose Unpack ZerosLike
"""
KNOWN = frozenset(_KNOWN.split())
SUPPRESSION = "CombinedNonMaxSuppression"
NUMBERS = (tf.float32, tf.bfloat16, tf.int32, tf.int64, tf.bool, tf.uint8)
SHAPES = frozenset(("Shape", "ShapeN", "Size", "Rank"))
_NUMBERS = itertools.count()


class NotSplit(ValueError):
    """The signature has no part that is the network alone; the message says what is in the way."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Tensors in, tensors out, in these orders; weights are constants."""

    graph: graph_pb2.GraphDef
    inputs: tuple[tf.TensorSpec, ...]  # by name: placeholders of the graph
    outputs: tuple[tf.TensorSpec, ...]  # by name: the graph's last nodes

    def function(self) -> tf.types.experimental.ConcreteFunction:
        """What TensorFlow calls: (*inputs) -> list of outputs."""

        def call(*inputs):
            given = {f"{spec.name}:0": x for spec, x in zip(self.inputs, inputs, strict=True)}
            wanted = [f"{spec.name}:0" for spec in self.outputs]
            found = tf.import_graph_def(self.graph, given, wanted, name="")
            for tensor, spec in zip(found, self.outputs, strict=True):
                tensor.set_shape(spec.shape)  # of which a graph's text says nothing
            return found

        return tf.compat.v1.wrap_function(call, self.inputs)


@dataclasses.dataclass(frozen=True)
class Cut:
    """Tensors by the names that a graph's text has: "node", of further outputs "node:1"."""

    image: str
    outputs: list[str]
    beside: list[str]
    ends: tuple[str, ...]


class Graph:
    """A frozen graph, its nodes in an order in which each comes after what it reads."""

    def __init__(self, definition: graph_pb2.GraphDef):
        self.definition = _renamed(definition, f"parts{next(_NUMBERS)}_")
        self.graph = tf.Graph()
        with self.graph.as_default():
            tf.import_graph_def(self.definition, name="")
        self.nodes = _in_order({node.name: node for node in self.definition.node})
        self.places = {name: place for place, name in enumerate(self.nodes)}

    def cut(self, results: list[str]) -> Cut:
        """Where the network begins and ends on the way to the results."""
        image = next((name for name in self.nodes if name.split("/")[-1] == NETWORK_INPUT), None)
        if image is None:
            raise NotSplit(
                "its network's input is not marked: it sees pictures of any size one by one, or "
                "an earlier release exported it"
            )
        needed = self._before(results)
        constant, depends, inside, shapes = set(), {image}, set(), set()
        for name, node in self.nodes.items():
            if name not in needed or name == image:
                continue
            sources = {_node(source) for source in _data(node)}
            if sources <= constant and node.op != "Placeholder":
                constant.add(name)
            elif sources & depends:
                depends.add(name)
                known = node.op in KNOWN and sources <= constant | inside | {image}
                if known and all(kind in NUMBERS for kind in self._kinds(name)):
                    inside.add(name)
                    if node.op in SHAPES or sources - constant <= shapes:
                        shapes.add(name)
        outside = depends - inside - {image}
        # What depends on shapes alone is computed again behind the cut, out of the same tensors.
        again, waiting = set(outside), [*outside]
        while waiting:
            sources = {_node(source) for source in _data(self.nodes[waiting.pop()])}
            waiting += (sources & shapes) - again
            again |= sources & shapes
        read = {source for name in again for source in _data(self.nodes[name])} | {*results}
        read = sorted(
            (source for source in read if _node(source) not in again | constant),
            key=lambda source: (self.places[_node(source)], source),
        )
        outputs = [source for source in read if _node(source) in inside]
        outputs = self._fewest(outputs, results, image)
        beside = [source for source in read if _node(source) not in inside]
        ends = {
            self.nodes[name].op
            for name in outside
            if {*_data(self.nodes[name])} & {*(outputs or [image])}
        }
        strange = [name for name in outside if self.nodes[name].op not in KNOWN]
        first = [self.nodes[min(strange, key=self.places.get)].op] if strange else sorted(ends)
        return Cut(image, outputs, beside, tuple(sorted(ends - KNOWN) or first))

    def _kinds(self, name: str) -> list[tf.DType]:
        return [tensor.dtype for tensor in self.graph.get_operation_by_name(name).outputs]

    def _fewest(self, outputs: list[str], results: list[str], image: str) -> list[str]:
        """Without those that are no result and follow from the others."""
        kept = list(outputs)
        for tensor in reversed(outputs):
            others = [other for other in kept if other != tensor]
            if tensor not in results and image not in self._before([tensor], others):
                kept = others
        return kept

    def _before(self, tensors, known=()) -> set[str]:
        """The nodes that tensors are computed by, from tensors that are known."""
        found, waiting = set(), [*tensors]
        while waiting:
            name = _node(waiting.pop())
            if name not in found:
                found.add(name)
                waiting += [source for source in _data(self.nodes[name]) if source not in known]
        return found

    def words(self, tensors: list[str], answers: dict[str, str]) -> dict[str, str]:
        """{tensor: a name for people}: the answer's, or the argument's of what reads it."""
        found: dict[str, str] = {}
        for tensor in tensors:
            name = answers.get(tensor) or self._argument(tensor)
            while name in found.values():
                name += "_"
            found[tensor] = name
        return found

    def _argument(self, tensor: str) -> str:
        for node in self.nodes.values():
            if node.op == SUPPRESSION and tensor in node.input:
                return ("boxes", "scores")[list(node.input).index(tensor)]
        return re.sub(r"[^A-Za-z0-9_]", "_", tensor.split("/")[-1]).strip("_").lower()

    def part(self, feeds: dict[str, str], fetches: dict[str, str], checks: bool = False) -> Part:
        """The graph from some tensors to others, {tensor: its name in the part}.

        checks: what runs for its errors alone stays.
        """
        part = graph_pb2.GraphDef(versions=self.definition.versions)
        known = dict(feeds)  # a tensor as the part reads it
        for tensor, name in feeds.items():
            spec = self._spec(tensor, name)
            placeholder = part.node.add(name=name, op="Placeholder")
            placeholder.attr["dtype"].type = spec.dtype.as_datatype_enum
            placeholder.attr["shape"].shape.CopyFrom(spec.shape.as_proto())
        # Names that differ in their case alone are one to TensorFlow's converters.
        taken = {name.lower() for name in (*feeds.values(), *fetches.values())}
        copied, waiting = set(), [tensor for tensor in fetches if tensor not in feeds]
        while waiting:
            name = _node(waiting.pop())
            if name not in copied:
                copied.add(name)
                sources = self.nodes[name].input if checks else _data(self.nodes[name])
                waiting += [source for source in sources if source not in feeds]

        def read(source: str) -> str:
            control, name = source.startswith("^"), _node(source)
            renamed = f"inner_{name}" if name.lower() in taken else name
            if source in known:
                return known[source]
            return "^" * control + source.removeprefix("^").replace(name, renamed, 1)

        for name in (name for name in self.nodes if name in copied):
            node = part.node.add()
            node.CopyFrom(self.nodes[name])
            node.name = read(name) if name not in feeds else f"inner_{name}"
            node.attr.pop("_class", None)
            sources = self.nodes[name].input if checks else _data(self.nodes[name])
            node.input[:] = [read(source) for source in sources]
        for tensor, name in fetches.items():
            node = part.node.add(name=name, op="Identity", input=[read(tensor)])
            node.attr["T"].type = self._spec(tensor, name).dtype.as_datatype_enum
        part.library.function.extend(_called(part.node, self.definition.library))
        specs = ([self._spec(*pair) for pair in names.items()] for names in (feeds, fetches))
        return Part(part, *map(tuple, specs))

    def _spec(self, tensor: str, name: str) -> tf.TensorSpec:
        value = self.graph.get_tensor_by_name(tensor if ":" in tensor else f"{tensor}:0")
        return tf.TensorSpec(value.shape, value.dtype, name)


def _renamed(definition: graph_pb2.GraphDef, prefix: str) -> graph_pb2.GraphDef:
    """The graph whose functions have names of their own: a process holds one of a name."""
    library = definition.library
    names = {function.signature.name for function in library.function}
    for function in library.function:
        function.signature.name = prefix + function.signature.name
    for gradient in library.gradient:
        gradient.function_name = prefix + gradient.function_name
    for node in (*definition.node, *(n for f in library.function for n in f.node_def)):
        for value in node.attr.values():
            for called in (value.func, *value.list.func) if _calls(value) else ():
                if called.name in names:
                    called.name = prefix + called.name
    return definition


def _called(nodes, library) -> list:
    """The functions that nodes call, and those that these call."""
    known = {function.signature.name: function for function in library.function}
    found, waiting = {}, list(nodes)
    while waiting:
        for value in waiting.pop().attr.values():
            for called in (value.func, *value.list.func) if _calls(value) else ():
                if called.name in known and called.name not in found:
                    found[called.name] = known[called.name]
                    waiting.extend(known[called.name].node_def)
    return [found[name] for name in sorted(found)]


def _calls(value) -> bool:
    return value.HasField("func") or len(value.list.func) > 0


def _in_order(nodes: dict) -> dict:
    """Each after what it reads, control edges included."""
    found: dict = {}
    waiting = [(name, False) for name in reversed(nodes)]
    while waiting:
        name, ready = waiting.pop()
        if name in found:
            continue
        if ready:
            found[name] = nodes[name]
        else:
            waiting.append((name, True))
            waiting += [(_node(source), False) for source in nodes[name].input]
    return found


def _data(node) -> list[str]:
    return [source for source in node.input if not source.startswith("^")]


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def plain(name: str) -> str:
    """A tensor's name as a graph's text has it."""
    return name.removesuffix(":0")
