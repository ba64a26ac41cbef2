import Glibc
@_spi(CustomByteBufferAllocator) import NIOCore
import Telemetry

/// The buffers of one TLS connection, whose memory can be given back to the kernel while nobody speaks.
///
/// NIOSSL keeps two for a connection's life: 16 KiB for what goes out, 32 KiB for what was decrypted. Little of that is ever written, but of each what
/// malloc notes before it and the first bytes of it: 10 KB of resident memory, of the 23.7 KB that an idle client of the pooler took. Here they are places
/// of whole pages in a stretch of addresses that takes no memory until it is written to, and ``giveBack()`` makes it so again.
public struct TLSBuffers: Sendable {
    private let places: [Place]

    /// A place and who has it: with each owner it has another number.
    private struct Place: Sendable {
        let index: Int
        let owner: UInt32
    }

    /// Of one place.
    static let bytes = 32 << 10
    /// Smaller ones are malloc's, as are those for which no place is left.
    private static let bytesMin = 16 << 10
    /// 4 GiB of addresses, 65,536 connections.
    private static let placesMax = 131_072
    /// Free places whose memory is kept for the next who come.
    private static let keptMax = 128

    private struct Places {
        var owners: [UInt32] = []
        var free: [Int] = []
        /// What a thread has taken that asked to know.
        var taken: [pthread_t: [Place]] = [:]
    }

    private static let all = Lock(Places())
    /// Where the places begin; `nil`: the addresses are not to be had, and everything is malloc's.
    private static let base: UInt? = {
        let length = placesMax * bytes
        let start = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let start, start != MAP_FAILED else { return nil }
        // A huge page would be 64 places' at once.
        _ = madvise(start, length, MADV_NOHUGEPAGE)
        return UInt(bitPattern: start)
    }()

    static let allocator = ByteBufferAllocator(
        allocate: { TLSBuffers.allocate($0) },
        reallocate: { pointer, oldBytes, newBytes in TLSBuffers.reallocate(pointer, oldBytes, newBytes) },
        deallocate: { TLSBuffers.deallocate($0) },
        copy: { target, source, bytes in target.copyMemory(from: source, byteCount: bytes) })

    /// Adds a handler of NIOSSL's, whose buffers it allocates meanwhile.
    /// - Parameter add: adds it to the channel's pipeline.
    static func adding(to channel: any Channel, _ add: () throws -> Void) throws -> TLSBuffers {
        guard let options = channel.syncOptions else {
            try add()
            return TLSBuffers(places: [])
        }
        let before = channel.allocator
        try options.setOption(.allocator, value: allocator)
        let thread = pthread_self()
        all.withLock { $0.taken[thread] = [] }
        let result = Result { try add() }
        let places = all.withLock { $0.taken.removeValue(forKey: thread) } ?? []
        try options.setOption(.allocator, value: before)
        try result.get()
        return TLSBuffers(places: places)
    }

    /// What is in them is lost. That is right between two events of the connection, while its channel has nothing left to write and nobody keeps a
    /// buffer that was read from it.
    public func giveBack() {
        for place in places {
            Self.all.withLock { all in
                // A buffer that somebody kept was copied into another place, and this one may be another connection's by now.
                guard all.owners[place.index] == place.owner else { return }
                Self.forget(place.index)
            }
        }
    }

    private static func address(_ index: Int) -> UnsafeMutableRawPointer? { base.flatMap { UnsafeMutableRawPointer(bitPattern: $0 + UInt(index * bytes)) } }

    /// - Returns: `nil` for what is malloc's.
    private static func index(_ pointer: UnsafeMutableRawPointer) -> Int? {
        guard let base, case let address = UInt(bitPattern: pointer), address >= base, address - base < UInt(placesMax * bytes) else { return nil }
        return Int((address - base) / UInt(bytes))
    }

    private static func forget(_ index: Int) {
        _ = madvise(address(index), bytes, MADV_DONTNEED)
    }

    // MARK: What NIO calls, on any thread

    private static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer? {
        guard base != nil, bytes >= bytesMin, bytes <= Self.bytes else { return malloc(bytes) }
        let index = all.withLock { all -> Int? in
            var index = all.free.popLast()
            if index == nil, all.owners.count < placesMax {
                index = all.owners.count
                all.owners.append(0)
            }
            guard let index else { return nil }
            if !all.taken.isEmpty { all.taken[pthread_self()]?.append(Place(index: index, owner: all.owners[index])) }
            return index
        }
        return index.flatMap(address) ?? malloc(bytes)
    }

    private static func deallocate(_ pointer: UnsafeMutableRawPointer) {
        guard let index = index(pointer) else { return free(pointer) }
        all.withLock { all in
            all.owners[index] &+= 1
            if all.free.count >= keptMax { forget(index) }
            all.free.append(index)
        }
    }

    private static func reallocate(_ pointer: UnsafeMutableRawPointer?, _ oldBytes: Int, _ newBytes: Int) -> UnsafeMutableRawPointer? {
        guard let pointer else { return allocate(newBytes) }
        guard index(pointer) != nil else { return realloc(pointer, newBytes) }
        guard newBytes > bytes else { return pointer }
        guard let new = malloc(newBytes) else { return nil }
        new.copyMemory(from: pointer, byteCount: min(oldBytes, newBytes))
        deallocate(pointer)
        return new
    }
}
