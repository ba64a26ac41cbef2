import Foundation
import TestSupport
import Testing

@testable import Edge

@Suite struct StaticFolderTests {
    private func query(_ target: String, links: StaticFilesOptions.Links = .inside) throws -> StaticFiles.Query {
        var options = StaticFilesOptions()
        options.links = links
        return .init(path: try StaticFilePath(Array(target.utf8).span), options: options, codings: [], hasApplication: false)
    }

    private func size(_ found: StaticFiles.Found?) -> Int? {
        guard case .file(let file)? = found else { return nil }
        return file.size
    }

    /// Where the kernel does not know `RESOLVE_CACHED` nothing is found that way, and all of it the other.
    @Test func `what is in memory is found at once, and links on the way are left to who may wait`() throws {
        let folder = try TemporaryFolder()
        let outside = try TemporaryFile("outside")
        try Data("abc".utf8).write(to: folder.url.appending(path: "a.txt"))
        try FileManager.default.createDirectory(at: folder.url.appending(path: "b"), withIntermediateDirectories: true)
        try Data("index".utf8).write(to: folder.url.appending(path: "b/index.html"))
        for (name, target) in [("inside", "a.txt"), ("outside", outside.path), ("c", "b")] {
            try FileManager.default.createSymbolicLink(atPath: folder.path + "/" + name, withDestinationPath: target)
        }
        let files = try StaticFolder(folder.path)
        let knows = try files.findInMemory(query("/a.txt")) != nil
        for (target, bytes, isPlain) in [("/a.txt", 3, true), ("/b/", 5, true), ("/inside", 3, false), ("/c/", 5, false), ("/c/index.html", 5, false)] {
            #expect(try size(files.find(query(target))) == bytes, "\(target)")
            #expect(try size(files.findInMemory(query(target))) == (isPlain && knows ? bytes : nil), "\(target)")
        }
        for links in [StaticFilesOptions.Links.refuse, .inside] {
            #expect(try size(files.find(query("/outside", links: links))) == nil && files.findInMemory(query("/outside", links: links)) == nil)
        }
        #expect(try size(files.find(query("/inside", links: .refuse))) == nil)
        #expect(try files.findInMemory(query("/a.txt", links: .follow)) == nil)
    }
}
