import Foundation

/// Base64 as SCRAM has it: with padding, without line breaks (RFC 4648 §4).
enum Base64 {
    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        Data(bytes).base64EncodedString()
    }

    /// - Returns: `nil` for anything that ``encode(_:)`` would not have written, the unused bits of the last digit included.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        let data = Data(text)
        guard let bytes = Data(base64Encoded: data), bytes.base64EncodedData() == data else { return nil }
        return Array(bytes)
    }
}
