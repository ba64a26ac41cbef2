/// A key as a command names it: bytes of the request, and their hash.
struct Key {
    let bytes: UnsafeRawBufferPointer
    let hash: UInt64

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        hash = KeyHash.hash(bytes)
    }

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, hash: UInt64) {
        self.bytes = bytes
        self.hash = hash
    }

    var copy: [UInt8] { [UInt8](bytes) }
}
