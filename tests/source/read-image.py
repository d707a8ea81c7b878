"""read-image.py IMAGE TARGET: a reader of packed images, made from docs/image.md alone."""
import ctypes
import struct
import sys

zstd = ctypes.CDLL("libzstd.so.1")
xxhash = ctypes.CDLL("libxxhash.so.0")
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

PAGE = 4096


def checksum(data):
    return xxhash.XXH3_64bits(data, len(data))


def decompress(data, size):
    out = ctypes.create_string_buffer(size or 1)
    assert zstd.ZSTD_decompress(out, size, data, len(data)) == size
    return out.raw[:size]


image = open(sys.argv[1], "rb").read()
(magic, version, header_size, uuid, size, file_size, created, page_size, chunk_size, slots, chunks,
 zero_pages, same_pages, index_at, index_len, index_sum, header_sum) = struct.unpack_from(
     "<QII16sQQQIIQQQQQQQQ", image)
assert magic == int.from_bytes(b"UFIMAGE1", "little") and version == 1 and header_size == 128
assert header_sum == checksum(image[:120])
assert page_size == PAGE and len(image) >= file_size
pages = -(-size // PAGE)
assert slots + zero_pages + same_pages == pages
assert chunks == -(-slots // (chunk_size // PAGE))

index = decompress(image[index_at:index_at + index_len], chunks * 12 + pages * 4)
assert checksum(index) == index_sum
lengths = struct.unpack_from(f"<{chunks}I", index)
sums = struct.unpack_from(f"<{chunks}Q", index, chunks * 4)
places = struct.unpack_from(f"<{pages}I", index, chunks * 12)

contents, at = [], PAGE
for i in range(chunks):
    whole = min(chunk_size, slots * PAGE - i * chunk_size)
    stored = image[at:at + lengths[i]]
    contents.append(stored if len(stored) == whole else decompress(stored, whole))
    assert checksum(contents[i]) == sums[i]
    at += lengths[i]
assert at <= index_at
slot_of = b"".join(contents)

following = 0
with open(sys.argv[2], "wb") as target:
    for place in places:
        if not place:
            target.write(bytes(PAGE))
            continue
        folded = place - 1
        slot = following + (-(folded + 1) // 2 if folded % 2 else folded // 2)
        assert 0 <= slot < slots
        target.write(slot_of[slot * PAGE:(slot + 1) * PAGE])
        following = slot + 1
    target.truncate(size)
