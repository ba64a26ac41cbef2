import Testing

@testable import HTTPSemantics

@Suite struct ConnectionOptionsTests {
    private func options(_ values: String...) -> ConnectionOptions {
        var fields = FieldSection()
        for value in values { fields.append("Connection", value) }
        return ConnectionOptions(fields)
    }

    private func names(_ options: ConnectionOptions, _ name: String) -> Bool { options.names(Array(name.utf8).span) }

    @Test func `close and keep-alive name no field`() {
        #expect(
            options().isEmpty && options("close").isEmpty && options("Keep-Alive, CLOSE").isEmpty && options("").isEmpty
                && options(" ,,").isEmpty)
        #expect(!names(options("close, keep-alive"), "keep-alive"))
    }

    @Test func `what is listed is named, in any case and on any line`() {
        let options = options("close, X-Secret ,,\tTE", "upgrade")
        for name in ["x-secret", "X-SECRET", "te", "Upgrade"] { #expect(names(options, name)) }
        for name in ["x-secre", "x-secrets", "close", "connection", ""] { #expect(!names(options, name)) }
        #expect(!options.isEmpty)
    }

    @Test func `a hostile list costs no more than its bytes`() {
        let value = String(repeating: "a,", count: 16_000)
        let elapsed = ContinuousClock().measure {
            let options = options(value)
            for _ in 0..<100 { _ = names(options, "b") }
        }
        #expect(elapsed < .seconds(5))
    }
}
