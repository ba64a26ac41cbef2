import NIOCore
import Testing

@testable import Edge

@Suite struct HeaderRuleSetTests {
    private func applied(_ change: (inout HeaderRules) -> Void, to head: String, before: String = "") -> String {
        var rules = HeaderRules()
        change(&rules)
        var output = ByteBuffer(string: before + head)
        HeaderRuleSet(rules)?.apply(to: &output, from: before.utf8.count)
        return String(buffer: output)
    }

    private let head = "HTTP/1.1 200 OK\r\nServer: x\r\nX-A: 1\r\nx-a: 2\r\nX-Ab: 3\r\n"

    @Test func `what is removed is gone in every spelling, and nothing else`() {
        #expect(applied({ $0.removed = ["X-a"] }, to: head) == "HTTP/1.1 200 OK\r\nServer: x\r\nX-Ab: 3\r\n")
        #expect(applied({ $0.removed = ["Server", "X-AB", "None"] }, to: head) == "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n")
    }

    @Test func `set replaces all lines of the name, add comes behind them`() {
        #expect(
            applied({ $0.set = [.init(name: "X-A", value: "9")] }, to: head)
                == "HTTP/1.1 200 OK\r\nServer: x\r\nX-Ab: 3\r\nX-A: 9\r\n")
        #expect(applied({ $0.added = [.init(name: "X-A", value: "9")] }, to: head) == head + "X-A: 9\r\n")
    }

    @Test func `removed, then set, then added`() {
        let text = applied(
            {
                $0.removed = ["X-A"]
                $0.set = [.init(name: "Server", value: "s")]
                $0.added = [.init(name: "X-A", value: "9")]
            }, to: head)
        #expect(text == "HTTP/1.1 200 OK\r\nX-Ab: 3\r\nServer: s\r\nX-A: 9\r\n")
    }

    @Test func `what lies before the head, an earlier answer, stays as it is`() {
        let earlier = "HTTP/1.1 200 OK\r\nServer: y\r\n\r\nServer: body\r\n"
        #expect(applied({ $0.removed = ["Server"] }, to: "HTTP/1.1 404 X\r\nServer: x\r\n", before: earlier) == earlier + "HTTP/1.1 404 X\r\n")
    }

    @Test func `the start line is no field`() {
        #expect(applied({ $0.removed = ["GET"] }, to: "GET: / HTTP/1.1\r\nA: b\r\n") == "GET: / HTTP/1.1\r\nA: b\r\n")
    }

    @Test func `no rule at all is none`() {
        if HeaderRuleSet(HeaderRules()) != nil { Issue.record("rules without a rule") }
    }
}
