"""The variable-length numbers of protobuf, for tests that read its bytes without its library."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at this place, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
