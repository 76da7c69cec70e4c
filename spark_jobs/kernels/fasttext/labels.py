"""The best label of a line and its probability as fastText reports it, from the line's mean row (src/loss.cc)."""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.fasttext.format import HIERARCHICAL, SOFTMAX

LOG_FLOOR = 1e-5
"""Added by fastText to a probability before it takes the logarithm, and so to every probability that it reports."""
_SIGMOID_CELLS, _SIGMOID_LIMIT = 512, 8


def huffman_tree(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Children of each node of the Huffman tree (loss.cc, `buildTree`), (2 labels - 1, 2); -1 below a label."""
    labels = len(counts)
    held = [*counts.tolist(), *[int(1e15)] * (labels - 1)]
    children = np.full((2 * labels - 1, 2), -1, np.int32)
    leaf, node = labels - 1, labels
    for parent in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and held[leaf] < held[node]:
                children[parent, side], leaf = leaf, leaf - 1
            else:
                children[parent, side], node = node, node + 1
        held[parent] = sum(held[child] for child in children[parent])
    return children


@inner
def _product(totals, size, output, document, row):
    """The mean row of a document times a row of the output matrix."""
    found = 0.0
    for i in range(output.shape[1]):
        found += totals[document, i] * output[row, i]
    return np.float32(found / size)


@inner
def _log(probability):
    return np.float32(np.log(np.float64(probability) + LOG_FLOOR))


@inner
def _sigmoid(value):
    """The sigmoid, looked up in a table of 512 cells like fastText's (loss.cc, `sigmoid`)."""
    if value < -_SIGMOID_LIMIT:
        return np.float32(0)
    if value > _SIGMOID_LIMIT:
        return np.float32(1)
    cell = np.int64(np.float32(value + np.float32(_SIGMOID_LIMIT)) * _SIGMOID_CELLS / _SIGMOID_LIMIT / 2)
    return np.float32(1 / (1 + np.exp(-(cell * 2 * _SIGMOID_LIMIT / _SIGMOID_CELLS - _SIGMOID_LIMIT))))


@inner
def _best_of_all(totals, size, output, softmax, outputs, document):
    """The most probable label (the last one among equals) and its logarithm."""
    most = np.float32(-np.inf)
    for label in range(len(output)):
        outputs[label] = _product(totals, size, output, document, label)
        most = max(most, outputs[label])
    mass = np.float32(0)
    for label in range(len(output)):
        outputs[label] = np.exp(outputs[label] - most) if softmax else _sigmoid(outputs[label])
        mass += outputs[label]
    best, score = 0, np.float32(-np.inf)
    for label in range(len(output)):
        found = _log(outputs[label] / mass if softmax else outputs[label])
        if found >= score:
            best, score = label, found
    return best, score


@inner
def _best_leaf(totals, size, output, tree, stack, scores, document):
    """The most probable label of a Huffman tree and its logarithm, depth first (loss.cc, `dfs`)."""
    best, score = 0, np.float32(-np.inf)
    stack[0], scores[0] = len(tree) - 1, np.float32(0)
    waiting = 1
    while waiting > 0:
        waiting -= 1
        node, so_far = stack[waiting], scores[waiting]
        if so_far < score or so_far < _log(np.float32(0)):
            continue
        if tree[node, 0] < 0:
            best, score = node, so_far
            continue
        right = np.float32(1 / np.float64(1 + np.exp(-_product(totals, size, output, document, node - len(output)))))
        stack[waiting], scores[waiting] = tree[node, 1], np.float32(so_far + _log(right))
        stack[waiting + 1], scores[waiting + 1] = tree[node, 0], np.float32(so_far + _log(np.float32(1.0 - right)))
        waiting += 2
    return best, score


@entry
def best_labels(totals, sizes, output, loss, tree, outputs, stack, scores, best, probabilities):
    for document in range(len(sizes)):
        if sizes[document] == 0:
            continue
        if loss == HIERARCHICAL:
            label, score = _best_leaf(totals, sizes[document], output, tree, stack, scores, document)
        else:
            label, score = _best_of_all(totals, sizes[document], output, loss == SOFTMAX, outputs, document)
        best[document] = label
        probabilities[document] = np.exp(score)
