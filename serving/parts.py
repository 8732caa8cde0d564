"""A served signature in three parts: what makes the network's input, the network, what answers.

    before   encoded pictures (or pixels, sentences, sounds) -> the network's input, and what else
             the last part reads: matrices, sizes
    network  its input alone -> tensors; ends before the first operation that is not in graphs.KNOWN
    after    those tensors -> what is served

All three are cut out of the signature's own graph, between the tensor that serving/signatures.py
names NETWORK_INPUT and the last ones that plain arithmetic makes of it. Nothing is written twice:
one after the other they compute what the signature computes. Other runtimes than TensorFlow run the
part in the middle.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import convert_to_constants as constants

from convoy.serving.graphs import Graph, NotSplit, Part, plain

ANSWER = "answer_"
LEAST_WEIGHT = 500  # bytes: what is smaller is an argument of an operation
Function = tf.types.experimental.ConcreteFunction


class Names(NamedTuple):
    """Tensors in the order in which the parts take and give them."""

    inputs: tuple[str, ...]  # of the signature
    made: tuple[str, ...]  # before the network: its "image", and what the last part reads
    outputs: tuple[str, ...]  # of the network
    read: tuple[str, ...]  # by the last part
    answers: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """before(*signature's inputs) -> [image, *beside]; network(image) -> outputs;
    after(*beside, *outputs) -> the answers, whose names begin with ANSWER there.
    """

    before: Part
    network: Part
    after: Part
    ends: tuple[str, ...]  # operations that the network ends before

    @property
    def names(self) -> Names:
        """Of the tensors that the parts take and give."""
        answers = (spec.name.removeprefix(ANSWER) for spec in self.after.outputs)
        before, network, after = self.before, self.network, self.after
        lists = before.inputs, before.outputs, network.outputs, after.inputs
        return Names(*(tuple(spec.name for spec in specs) for specs in lists), tuple(answers))

    @property
    def share(self) -> float:
        """The part of the weights that is in the network's part, by bytes."""
        sizes = [_weight(part.graph) for part in (self.before, self.network, self.after)]
        return sizes[1] / max(sum(sizes), 1)


def _weight(graph: graph_pb2.GraphDef) -> int:
    called = (node for function in graph.library.function for node in function.node_def)
    sizes = (node.ByteSize() for node in (*graph.node, *called) if node.op == "Const")
    return sum(size for size in sizes if size > LEAST_WEIGHT)


def composed(before: Callable, network: Callable, after: Callable, names: Names) -> Callable:
    """One function of the three, {input: tensor} -> {answer: tensor}.

    network: [image as an array] -> arrays in the order of its outputs.
    """

    def answer(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        made = before(*(inputs[name] for name in names.inputs))
        known = dict(zip(names.made, made, strict=True))
        known |= zip(names.outputs, network(known["image"].numpy()), strict=True)
        found = after(*(tf.convert_to_tensor(known[name]) for name in names.read))
        return dict(zip(names.answers, found, strict=True))

    return answer


def split(function: Function) -> Parts:
    """The parts of a concrete signature whose outputs are a dict. Raises NotSplit."""
    # Not convert_variables_to_constants_v2: it names the loops of all graphs alike, and a process
    # holds one function of a name.
    data = constants._FunctionConverterDataInEager(function, False, False)
    definition, converted = constants._replace_variables_by_constants(data)
    graph = Graph(definition)
    answers = dict(zip(sorted(function.structured_outputs), function.outputs, strict=True))
    results = {name: plain(tensor.name) for name, tensor in answers.items()}
    cut = graph.cut([*results.values()])
    words = graph.words(cut.outputs, {tensor: name for name, tensor in results.items()})
    if cut.outputs in ([], [cut.image]):
        raise NotSplit(f"the network ends before {', '.join(cut.ends)}, which it begins with")
    captured = {function.graph.internal_captures[index].ref() for index in converted}
    asked = [tensor for tensor in function.inputs if tensor.ref() not in captured]
    requests = {plain(tensor.name): tensor.op.name for tensor in asked}
    beside = {tensor: f"beside_{number}" for number, tensor in enumerate(cut.beside)}
    image = {cut.image: "image"}
    if cut.image in beside:
        beside[cut.image] = "image"
    return Parts(
        before=graph.part(requests, image | beside, checks=True),
        network=graph.part(image, words),
        after=graph.part(
            beside | words, {tensor: f"{ANSWER}{name}" for name, tensor in results.items()}
        ),
        ends=cut.ends,
    )
