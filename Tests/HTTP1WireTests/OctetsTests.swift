import Testing

@testable import HTTP1Wire

@Suite struct OctetsTests {
    private static let letters = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
    private static let digits = Set("0123456789".utf8)

    @Test func `every entry of the table is what the grammar says`() {
        // RFC 9110 §5.6.2
        let token = Self.letters.union(Self.digits).union("!#$%&'*+-.^_`|~".utf8)
        // RFC 3986 §2.3, §2.2
        let host = Self.letters.union(Self.digits).union("-._~".utf8).union("!$&'()*+,;=".utf8)
        for byte in UInt8.min...UInt8.max {
            // RFC 9110 §5.6.4: HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
            let isQuoted =
                byte == 0x09 || byte == 0x20 || byte == 0x21 || 0x23...0x5B ~= byte || 0x5D...0x7E ~= byte || byte >= 0x80
            // RFC 9110 §5.5: field-vchar, SP, HTAB
            let isValue = byte == 0x09 || 0x20...0x7E ~= byte || byte >= 0x80
            let isTarget = 0x21...0x7E ~= byte && byte != UInt8(ascii: "#")
            #expect(Octets.is(byte, Octets.token) == token.contains(byte), "\(byte)")
            #expect(Octets.is(byte, Octets.target) == isTarget, "\(byte)")
            #expect(Octets.is(byte, Octets.host) == host.contains(byte), "\(byte)")
            #expect(Octets.is(byte, Octets.quoted) == isQuoted, "\(byte)")
            #expect(Octets.is(byte, Octets.value) == isValue, "\(byte)")
        }
    }

    @Test func `hexadecimal digits have their values, other bytes none`() {
        for byte in UInt8.min...UInt8.max {
            let digit = Character(Unicode.Scalar(byte))
            #expect(Octets.hexValue(byte) == (digit.isASCII ? digit.hexDigitValue : nil), "\(byte)")
            #expect(Octets.isDigit(byte) == Self.digits.contains(byte))
            let lowered: UInt8 = 0x41...0x5A ~= byte ? byte + 32 : byte
            #expect(Octets.lowercased(byte) == lowered)
        }
    }
}

@Suite struct OctetScanTests {
    /// Bytes that end no run, so that only the one placed among them can.
    private static let filler = Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8)

    @Test func `a run ends at the first byte that cannot be of it, wherever that lies among the sixteen`() {
        for stop in UInt8.min...UInt8.max {
            for place in [0, 1, 7, 8, 14, 15, 16, 17, 23, 24, 31, 32, 34] {
                var bytes = Self.filler
                bytes[place] = stop
                for limit in [place, place + 1, 33, bytes.count] where limit >= place {
                    let isValue = Octets.is(stop, Octets.value) || place >= limit
                    let isTarget = Octets.is(stop, Octets.target) || place >= limit
                    let isToken = Octets.is(stop, Octets.token) || place >= limit
                    // One expectation for all: each costs more than what it checks here.
                    let isRight =
                        OctetScan.endOfFieldValue(in: bytes.span, from: 0, to: limit) == (isValue ? limit : place)
                        && OctetScan.endOfTarget(in: bytes.span, from: 0, to: limit) == (isTarget ? limit : place)
                        && OctetScan.endOfToken(in: bytes.span, from: 0, to: limit) == (isToken ? limit : place)
                    if !isRight { Issue.record("byte \(stop) at \(place), limit \(limit)") }
                }
            }
        }
    }

    @Test func `the first of several ends counts, and what lies before the start does not`() {
        var bytes = Self.filler
        for place in [2, 5, 20, 21] { bytes[place] = 0 }
        #expect(OctetScan.endOfFieldValue(in: bytes.span, from: 0, to: bytes.count) == 2)
        #expect(OctetScan.endOfFieldValue(in: bytes.span, from: 3, to: bytes.count) == 5)
        #expect(OctetScan.endOfFieldValue(in: bytes.span, from: 6, to: bytes.count) == 20)
        #expect(OctetScan.endOfTarget(in: bytes.span, from: 22, to: bytes.count) == bytes.count)
    }
}
