#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a block from `malloc` may really hold; the C library has it in a header that is in no module.
/// - Source: malloc_usable_size(3).
@_silgen_name("malloc_usable_size")
func malloc_usable_size(_ block: UnsafeMutableRawPointer?) -> Int

@_silgen_name("malloc_trim")
private func malloc_trim(_ bytesKept: Int) -> Int32

/// What the process has of the machine.
enum OwnProcess {
    /// Lets the system have the memory back that `malloc` keeps for later.
    static func giveBack() { _ = malloc_trim(0) }

    /// Memory of the process that is really there.
    /// - Source: proc(5), `/proc/self/statm`.
    static func residentBytes() -> Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 256)
        guard fgets(&text, 255, file) != nil else { return 0 }
        let words = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
        return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    static func systemBytes() -> Int { Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE))) }

    /// Stops this thread, for `DEBUG SLEEP`.
    static func sleep(seconds: Double) { usleep(UInt32(seconds * 1_000_000)) }
}
