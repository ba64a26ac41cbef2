import Testing

@testable import Transport

@Suite struct TLSCertificatesTests {
    private let lists = [["first.example"], ["second.example", "*.second.example"], ["www.second.example"], []]

    @Test(arguments: [
        (nil, 0), ("first.example", 0), ("second.example", 1), ("SECOND.example", 1), ("a.second.example", 1), ("www.second.example", 2),
        ("a.b.second.example", 0), (".second.example", 0), ("unknown", 0), ("", 0), ("*.second.example", 1),
    ] as [(String?, Int)])
    func `a name's own certificate comes before a wildcard's, and a wildcard is one label (RFC 6125 §6.4.3)`(name: String?, index: Int) {
        #expect(TLSCertificates.choice(of: name, among: lists) == index)
    }

    @Test func `a file that is not there is named`() {
        #expect(throws: TLSCertificates.Problem.self) { try TLSCertificates([TLSFiles(certificate: "/nowhere.pem")]) }
        #expect(throws: TLSFilesIncomplete.self) { try TLSCertificates([]) }
    }
}
