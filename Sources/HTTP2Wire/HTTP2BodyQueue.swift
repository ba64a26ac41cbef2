package import NIOCore

/// The body of a message on its way into frames, as far as it is made and not sent.
package struct HTTP2BodyQueue {
    private var pieces: [ByteBuffer] = []
    private var firstPiece = 0
    package private(set) var bytes = 0

    package init() {}

    package mutating func append(_ piece: ByteBuffer) {
        guard piece.readableBytes > 0 else { return }
        pieces.append(piece)
        bytes += piece.readableBytes
    }

    /// Moves so many bytes, at most all that there are, to `output`.
    /// - Returns: how many.
    package mutating func take(_ count: Int, into output: inout ByteBuffer) -> Int {
        let taken = min(count, bytes)
        var left = taken
        bytes -= taken
        while left > 0 {
            let available = pieces[firstPiece].readableBytes
            if available <= left {
                output.writeImmutableBuffer(pieces[firstPiece])
                pieces[firstPiece] = ByteBuffer()
                firstPiece += 1
                left -= available
            } else {
                if let part = pieces[firstPiece].readSlice(length: left) { output.writeImmutableBuffer(part) }
                left = 0
            }
        }
        if firstPiece == pieces.count {
            pieces.removeAll(keepingCapacity: true)
            firstPiece = 0
        } else if firstPiece >= 64 {
            pieces.removeFirst(firstPiece)
            firstPiece = 0
        }
        return taken
    }

    package mutating func removeAll() {
        self = HTTP2BodyQueue()
    }
}
