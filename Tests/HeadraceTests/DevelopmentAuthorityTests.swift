import Foundation
import Testing

@testable import headrace

@Suite struct DevelopmentAuthorityTests {
    @Test(arguments: [
        "localhost", "shop.test", "*.shop.test", "a-b.c", String(repeating: "a", count: 63) + ".test", "127.0.0.1", "::1", "2001:db8::7",
    ]) func `names and addresses are subjects`(text: String) throws {
        switch try DevelopmentAuthority.Subject(text) {
        case .name(let name): #expect(name == text)
        case .address(let octets): #expect(octets.count == (text.contains(":") ? 16 : 4))
        }
        #expect(try DevelopmentAuthority.Subject("Shop.TEST") == .name("shop.test"))
    }

    @Test(arguments: [
        "", ".", "a..b", "shop.test.", "*", "*.test*", "a.*.test", "-a.test", "a-.test", "a b", "a/b", "a_b", "münchen.test", "http://a.test", "a:80", "a\u{0}b",
        String(repeating: "a", count: 64) + ".test", Array(repeating: "abcdefg", count: 32).joined(separator: "."),
    ]) func `what is neither is refused`(text: String) {
        #expect(throws: DevelopmentAuthority.Unusable.self) { try DevelopmentAuthority.Subject(text) }
    }

    @Test func `an authority is kept, and one that is not ours, or nearly over, is not used and stays`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "authority-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let first = try DevelopmentAuthority(folder: folder, now: now)
        let made = try Data(contentsOf: URL(filePath: first.certificateFile))
        _ = try DevelopmentAuthority(folder: folder, now: now)
        #expect(try Data(contentsOf: URL(filePath: first.certificateFile)) == made)
        let nearItsEnd = now + 3650 * 86_400 - DevelopmentAuthority.lifetime + 1
        #expect(throws: DevelopmentAuthority.Unusable.self) { try DevelopmentAuthority(folder: folder, now: nearItsEnd) }
        try Data("not PEM".utf8).write(to: URL(filePath: folder + "/ca-key.pem"))
        #expect(throws: DevelopmentAuthority.Unusable.self) { try DevelopmentAuthority(folder: folder, now: now) }
        #expect(try Data(contentsOf: URL(filePath: first.certificateFile)) == made)
        try FileManager.default.removeItem(atPath: folder + "/ca-key.pem")
        #expect(throws: DevelopmentAuthority.Unusable.self) { try DevelopmentAuthority(folder: folder, now: now) }
    }

    @Test func `the authority's own files are nobody's certificate, and no key is there for others at any moment`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "authority-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = try DevelopmentAuthority(folder: folder, now: Date())
        for name in ["ca", "CA", "ca-key"] { #expect(throws: DevelopmentAuthority.Unusable.self) { try authority.issue(to: [name, "localhost"], now: Date()) } }
        // Whoever waits with a link gets nothing written through it.
        let trap = folder + "/elsewhere"
        try FileManager.default.createSymbolicLink(atPath: folder + "/localhost.pem.new", withDestinationPath: trap)
        let issued = try authority.issue(to: ["localhost"], now: Date())
        #expect(!FileManager.default.fileExists(atPath: trap))
        #expect(try FileManager.default.attributesOfItem(atPath: issued.file)[.posixPermissions] as? Int == 0o600)
    }
}
