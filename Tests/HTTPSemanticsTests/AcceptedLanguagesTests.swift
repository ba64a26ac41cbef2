import HTTPSemantics
import Testing

@Suite struct AcceptedLanguagesTests {
    private static let languages = ["en", "de", "pt-br", "fr"]

    private func best(_ lines: String...) -> String {
        var fields = FieldSection()
        for line in lines { fields.append("accept-LANGUAGE", line) }
        return Self.languages[AcceptedLanguages.best(of: Self.languages.map { Array($0.utf8) }, fields)]
    }

    @Test(arguments: [
        ("de", "de"), ("DE", "de"), ("de-AT, de;q=0.9, en;q=0.5", "de"), ("de-AT", "de"), ("pt", "pt-br"), ("pt-BR", "pt-br"), ("pt-PT", "en"),
        ("fr;q=0.5, de;q=0.7", "de"), ("de;q=0.7, fr;q=0.7", "de"), ("fr;q=0.7, de;q=0.7", "de"), ("*", "en"), ("en;q=0, *", "de"),
        ("*;q=0.5, fr;q=0.1", "en"), ("it", "en"), ("", "en"), ("de;q=x", "en"), ("de;q=0", "en"), (" , ,fr ;q=1", "fr"), ("d", "en"), ("deu", "en"),
        // RFC 9110 §12.5.4
        ("da, en-gb;q=0.8, en;q=0.7", "en"),
    ])
    func `RFC 9110 §12.5.4, RFC 4647 §3: the closest range counts, then the weight, then our order`(value: String, expected: String) {
        #expect(best(value) == expected)
    }

    @Test func `several lines are one list, and more ranges than are looked at say nothing`() {
        #expect(best("fr;q=0.3", "de;q=0.4") == "de")
        #expect(best(String(repeating: "it,", count: 31) + "fr") == "fr")
        #expect(best(String(repeating: "it,", count: 32) + "fr") == "en")
        #expect(AcceptedLanguages.best(of: [], FieldSection()) == 0)
    }
}
