public import Foundation

/// Response bodies as clients see them: decoded by the system's own `gzip`, `brotli` and `zstd`, not by the libraries that made them.
public enum Decoded {
    public static func body(_ response: RawClient.Response) throws -> Data {
        let data = Data(response.body)
        let program: String
        switch response.field("Content-Encoding") {
        case nil, "identity": return data
        case "gzip": program = "gzip"
        case "br": program = "brotli"
        case "zstd": program = "zstd"
        case let coding?: throw RawClient.Failure(description: "Content-Encoding: \(coding)")
        }
        let result = try Command.run(program, ["-dc"], input: data)
        guard result.status == 0 else {
            throw RawClient.Failure(description: "\(program) ended with \(result.status): \(result.errors)")
        }
        return result.output
    }

    public static func text(_ response: RawClient.Response) throws -> String {
        String(decoding: try body(response), as: UTF8.self)
    }
}
