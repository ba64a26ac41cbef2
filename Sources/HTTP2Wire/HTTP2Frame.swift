public import NIOCore

/// - Source: RFC 9113 §6; RFC 9218 §7.1 for the last.
public enum HTTP2FrameType: UInt8, Sendable {
    case data = 0, headers, priority, resetStream, settings, pushPromise, ping, goAway, windowUpdate, continuation
    case priorityUpdate = 0x10
}

/// - Source: RFC 9113 §6.
public enum HTTP2Flags {
    /// Of DATA and HEADERS.
    public static let endStream: UInt8 = 0x1
    /// Of SETTINGS and PING.
    public static let acknowledgement: UInt8 = 0x1
    public static let endHeaders: UInt8 = 0x4
    public static let padded: UInt8 = 0x8
    public static let priority: UInt8 = 0x20
}

/// - Source: RFC 9113 §7.
public enum HTTP2ErrorCode: UInt32, CaseIterable, Sendable {
    case noError, protocolError, internalError, flowControlError, settingsTimeout, streamClosed, frameSizeError, refusedStream, cancel
    case compressionError, connectError, enhanceYourCalm, inadequateSecurity, http11Required

    /// As metrics say it.
    public var word: String {
        switch self {
        case .noError: "no-error"
        case .protocolError: "protocol-error"
        case .internalError: "internal-error"
        case .flowControlError: "flow-control-error"
        case .settingsTimeout: "settings-timeout"
        case .streamClosed: "stream-closed"
        case .frameSizeError: "frame-size-error"
        case .refusedStream: "refused-stream"
        case .cancel: "cancel"
        case .compressionError: "compression-error"
        case .connectError: "connect-error"
        case .enhanceYourCalm: "enhance-your-calm"
        case .inadequateSecurity: "inadequate-security"
        case .http11Required: "http-1-1-required"
        }
    }
}

/// - Source: RFC 9113 §6.5.2; RFC 8441 §3; RFC 9218 §2.1.
public enum HTTP2Setting: UInt16, Sendable {
    case headerTableSize = 1, enablePush, maxConcurrentStreams, initialWindowSize, maxFrameSize, maxHeaderListSize
    case enableConnectProtocol = 8, noRFC7540Priorities
}

public enum HTTP2Framing {
    /// What a client sends first, and no request of HTTP/1 can begin with.
    /// - Source: RFC 9113 §3.4.
    public static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    public static let frameHeaderBytes = 9
    /// The size that every peer takes, and the largest that we take.
    public static let frameBytesMax = 16_384
    /// A window is never larger (RFC 9113 §6.9.1).
    public static let windowMax = Int(Int32.max)
    /// The windows before anybody has said anything.
    public static let windowDefault = 65_535

    /// Whether bytes could be, or are, the beginning of the preface.
    public static func isPrefaceOrBeginning(_ bytes: Span<UInt8>) -> Bool {
        for index in 0..<min(bytes.count, preface.utf8CodeUnitCount) where bytes[index] != preface.utf8Start[index] { return false }
        return true
    }
}

extension ByteBuffer {
    /// - Precondition: `count` fits 24 bits, `stream` 31.
    public mutating func writeFrameHeader(_ type: HTTP2FrameType, flags: UInt8 = 0, stream: UInt32, count: Int) {
        precondition((0..<1 << 24).contains(count), "a frame over 16 MB")
        writeWithUnsafeMutableBytes(minimumWritableBytes: HTTP2Framing.frameHeaderBytes) { room in
            let lengthAndType = UInt32(truncatingIfNeeded: count) << 8 | UInt32(type.rawValue)
            room.storeBytes(of: lengthAndType.bigEndian, as: UInt32.self)
            room[4] = flags
            room.storeBytes(of: (stream & 0x7FFF_FFFF).bigEndian, toByteOffset: 5, as: UInt32.self)
            return HTTP2Framing.frameHeaderBytes
        }
    }

    public mutating func writeSettings(_ settings: [(HTTP2Setting, UInt32)]) {
        writeFrameHeader(.settings, stream: 0, count: settings.count * 6)
        for (setting, value) in settings {
            writeInteger(setting.rawValue)
            writeInteger(value)
        }
    }

    public mutating func writeResetStream(_ stream: UInt32, _ code: HTTP2ErrorCode) {
        writeFrameHeader(.resetStream, stream: stream, count: 4)
        writeInteger(code.rawValue)
    }

    public mutating func writeWindowUpdate(_ stream: UInt32, _ count: Int) {
        writeFrameHeader(.windowUpdate, stream: stream, count: 4)
        writeInteger(UInt32(clamping: min(count, HTTP2Framing.windowMax)))
    }

    public mutating func writeGoAway(lastStream: UInt32, _ code: HTTP2ErrorCode, text: StaticString = "") {
        writeFrameHeader(.goAway, stream: 0, count: 8 + text.utf8CodeUnitCount)
        writeInteger(lastStream & 0x7FFF_FFFF)
        writeInteger(code.rawValue)
        writeStaticString(text)
    }

    /// Writes a header block in as many frames as it needs.
    /// - Parameter write: writes the block.
    public mutating func writeHeaders(_ stream: UInt32, endsStream: Bool, _ write: (inout ByteBuffer) -> Void) {
        let flags = endsStream ? HTTP2Flags.endStream : 0
        let start = writerIndex
        writeFrameHeader(.headers, flags: flags | HTTP2Flags.endHeaders, stream: stream, count: 0)
        let blockStart = writerIndex
        write(&self)
        let count = writerIndex - blockStart
        if count <= HTTP2Framing.frameBytesMax {
            let lengthAndType = UInt32(truncatingIfNeeded: count) << 8 | UInt32(HTTP2FrameType.headers.rawValue)
            setInteger(lengthAndType, at: start)
            return
        }
        var block = getSlice(at: blockStart, length: count) ?? ByteBuffer()
        moveWriterIndex(to: start)
        var type = HTTP2FrameType.headers
        while block.readableBytes > 0 {
            let part = block.readSlice(length: min(block.readableBytes, HTTP2Framing.frameBytesMax)) ?? ByteBuffer()
            let isLast = block.readableBytes == 0
            writeFrameHeader(
                type, flags: (type == .headers ? flags : 0) | (isLast ? HTTP2Flags.endHeaders : 0), stream: stream, count: part.readableBytes)
            writeImmutableBuffer(part)
            type = .continuation
        }
    }
}
