public import Foundation

/// A file that is there as long as this is.
public final class TemporaryFile: Sendable {
    public let url: URL
    public var path: String { url.path }

    public init(_ text: String, name: String = "file") throws {
        url = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString)-\(name)")
        try Data(text.utf8).write(to: url)
    }

    /// Replaces the content as editors do: whoever reads sees the old or the new.
    public func replace(_ text: String) throws {
        try Data(text.utf8).write(to: url, options: .atomic)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }
}
