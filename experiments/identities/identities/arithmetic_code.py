"""A real code whose lengths follow from probabilities: arithmetic coding, in exact integers.

A message is a nested interval of [0, 1): each symbol keeps its share of what is left, so that the
interval's width is the product of the probabilities, and naming a number in it takes that many
bits. Witten, Neal and Cleary 1987, *Arithmetic coding for data compression*.
"""

from collections.abc import Sequence

from torch import Tensor

PRECISION = 20
"""Bits of a table's total."""

Table = list[int]
"""A share of ``2 ** PRECISION`` for every symbol."""


def table(probabilities: Tensor) -> Table:
    """Round ``(K,)`` probabilities to whole shares; what is possible keeps at least one.

    >>> import torch
    >>> [share / 2**PRECISION for share in table(torch.tensor([0.5, 0.25, 0.25, 0.0]))]
    [0.5, 0.25, 0.25, 0.0]
    """
    total = 2**PRECISION
    shares = [max(1, round(p * total)) if p > 0 else 0 for p in probabilities.tolist()]
    shares[shares.index(max(shares))] += total - sum(shares)
    return shares


def encode(symbols: Sequence[int], tables: Sequence[Table]) -> str:
    """Return the code of a message as text of 0 and 1.

    Args:
        symbols: The message.
        tables: One a symbol; the reader must have the same.

    >>> encode([0, 0, 1, 0], 4 * [[3 * 2**PRECISION // 4, 2**PRECISION // 4]])
    '0111'
    """
    low, width = 0, 1
    for symbol, shares in zip(symbols, tables, strict=True):
        low = (low << PRECISION) + width * sum(shares[:symbol])
        width *= shares[symbol]
    length = PRECISION * len(symbols)
    # The widest binary interval m·2^s to (m + 1)·2^s inside ours: its m is the code.
    size = width.bit_length()
    while True:
        start = -(-low >> size)
        if (start + 1) << size <= low + width:
            return f"{start:0{length - size}b}" if length > size else ""
        size -= 1


def decode(code: str, tables: Sequence[Table]) -> list[int]:
    """Return the message that :func:`encode` made into ``code`` with these tables.

    >>> decode("0111", 4 * [[3 * 2**PRECISION // 4, 2**PRECISION // 4]])
    [0, 0, 1, 0]
    """
    length = PRECISION * len(tables)
    number = int(code or "0", 2) << (length - len(code))
    low, width, symbols = 0, 1, []
    for index, shares in enumerate(tables):
        seen = number >> (length - PRECISION * (index + 1))
        position = (seen - (low << PRECISION)) // width
        symbol, below = 0, 0
        while position >= below + shares[symbol]:
            below += shares[symbol]
            symbol += 1
        low, width = (low << PRECISION) + width * below, width * shares[symbol]
        symbols.append(symbol)
    return symbols
