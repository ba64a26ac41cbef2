import Testing

@testable import headrace

@Suite struct KernelFileTests {
    @Test func `a file of the kernel's that is longer than a page is read to its end`() throws {
        // What the kernel puts there itself comes last.
        let maps = try #require(KernelFile.text("/proc/self/maps"))
        #expect(maps.utf8.count > 8192 && maps.contains("[vdso]") && maps.hasSuffix("\n"))
        #expect(KernelFile.text("/proc/self/nothing") == nil)
    }
}
