import Testing

@testable import headrace

@Suite struct TextTableTests {
    @Test func `columns are as wide as their widest cell, numbers to the right`() {
        var table = TextTable(columns: [.left("name"), .right("n")])
        table.add(["a", "1"])
        table.add(["longer", "1000"])
        #expect(table.rendered() == "name       n\n──────  ────\na          1\nlonger  1000\n")
    }
}
