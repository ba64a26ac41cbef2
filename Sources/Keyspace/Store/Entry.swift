#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One block of memory that holds a key and its value: a key of a database, a field of a hash, a member of a set.
///
///     −16  deadline (8), place in the expiry heap (4), –   only with the flag `expires`
///       0  length of the key (4), length of the value (4)
///       8  type (1), flags (1), frequency (1), queue and uses (1), time of the last use (4)
///      16  the key's bytes, then the value's
///
/// A string's bytes are the value, a sorted set's member has its score there; any other type's value is the reference to its object, which the entry owns. That makes
/// 16 bytes over key and value, and what `malloc` adds; a million keys of 16 + 100 bytes take the table's 12.5 bytes besides (11 to 14 between
/// two splits of it), and 5 of a place in a queue where that is how they make room.
struct Entry: Equatable {
    static let headerBytes = 16
    static let expiryBytes = 16
    /// The longest key and the longest string: what fits the lengths, and Redis' own bound.
    static let bytesMax = 512 << 20

    struct Flags: OptionSet {
        let rawValue: UInt8
        /// The block has a deadline in front.
        static let expires = Flags(rawValue: 1)
        /// A string that was changed in place: `OBJECT ENCODING` calls it raw, whatever it looks like.
        static let raw = Flags(rawValue: 2)
    }

    let base: UnsafeMutableRawPointer

    @inline(__always) init(_ base: UnsafeMutableRawPointer) { self.base = base }

    // MARK: Parts

    @inline(__always) var keyCount: Int { Int(base.load(as: UInt32.self)) }
    @inline(__always) var valueCount: Int {
        get { Int(base.load(fromByteOffset: 4, as: UInt32.self)) }
        nonmutating set { base.storeBytes(of: UInt32(truncatingIfNeeded: newValue), toByteOffset: 4, as: UInt32.self) }
    }
    @inline(__always) var type: ValueType {
        get { ValueType(rawValue: base.load(fromByteOffset: 8, as: UInt8.self)) ?? .string }
        nonmutating set { base.storeBytes(of: newValue.rawValue, toByteOffset: 8, as: UInt8.self) }
    }
    @inline(__always) var flags: Flags {
        get { Flags(rawValue: base.load(fromByteOffset: 9, as: UInt8.self)) }
        nonmutating set { base.storeBytes(of: newValue.rawValue, toByteOffset: 9, as: UInt8.self) }
    }
    @inline(__always) var frequency: UInt8 {
        get { base.load(fromByteOffset: 10, as: UInt8.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 10, as: UInt8.self) }
    }
    /// Uses since it was queued, 0…3: see ``KeyQueues``.
    @inline(__always) var uses: UInt8 {
        get { base.load(fromByteOffset: 11, as: UInt8.self) & 3 }
        nonmutating set { base.storeBytes(of: base.load(fromByteOffset: 11, as: UInt8.self) & ~3 | min(newValue, 3), toByteOffset: 11, as: UInt8.self) }
    }
    @inline(__always) var place: KeyQueues.Place {
        get { KeyQueues.Place(rawValue: base.load(fromByteOffset: 11, as: UInt8.self) >> 2) ?? .none }
        nonmutating set { base.storeBytes(of: newValue.rawValue << 2 | uses, toByteOffset: 11, as: UInt8.self) }
    }
    @inline(__always) var lastUse: UInt32 {
        get { base.load(fromByteOffset: 12, as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 12, as: UInt32.self) }
    }
    /// Of a sorted set's member: its value is 8 bytes.
    @inline(__always) var score: Double {
        get { (base + Self.headerBytes + keyCount).loadUnaligned(as: Double.self) }
        nonmutating set { (base + Self.headerBytes + keyCount).storeBytes(of: newValue, as: Double.self) }
    }
    @inline(__always) var key: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Self.headerBytes, count: keyCount)
    }
    @inline(__always) var value: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Self.headerBytes + keyCount, count: valueCount)
    }
    @inline(__always) var mutableValue: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + Self.headerBytes + keyCount, count: valueCount)
    }

    // MARK: Deadline

    @inline(__always) var expires: Bool { flags.contains(.expires) }
    /// Milliseconds since 1970; only with ``expires``.
    @inline(__always) var deadline: Int64 {
        get { (base - 16).load(as: Int64.self) }
        nonmutating set { (base - 16).storeBytes(of: newValue, as: Int64.self) }
    }
    /// Where the expiry heap has the entry; only with ``expires``.
    @inline(__always) var heapPosition: Int {
        get { Int((base - 8).load(as: Int32.self)) }
        nonmutating set { (base - 8).storeBytes(of: Int32(truncatingIfNeeded: newValue), as: Int32.self) }
    }

    // MARK: Memory

    /// What `malloc` has given.
    var block: UnsafeMutableRawPointer { expires ? base - Self.expiryBytes : base }

    /// What the block takes of the heap, `malloc`'s own word included.
    var bytes: Int { malloc_usable_size(block) + 8 }

    /// How long a value may be without another block.
    var valueCapacity: Int { malloc_usable_size(block) - (expires ? Self.expiryBytes : 0) - Self.headerBytes - keyCount }

    /// A new block; the value's bytes are the caller's to write.
    static func make(key: UnsafeRawBufferPointer, valueCount: Int, expires: Bool = false, valueCapacity: Int = 0) -> Entry {
        let front = expires ? expiryBytes : 0
        guard let memory = malloc(front + headerBytes + key.count + max(valueCount, valueCapacity)) else {
            fatalError("the system has no memory left")
        }
        let base = memory + front
        base.storeBytes(of: UInt32(truncatingIfNeeded: key.count), as: UInt32.self)
        base.storeBytes(of: UInt32(truncatingIfNeeded: valueCount), toByteOffset: 4, as: UInt32.self)
        base.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
        if expires { base.storeBytes(of: Flags.expires.rawValue, toByteOffset: 9, as: UInt8.self) }
        if let start = key.baseAddress, key.count > 0 { memcpy(base + headerBytes, start, key.count) }
        return Entry(base)
    }

    /// The same entry in another block, with a deadline or without, and with room for a value. The old block is freed; whoever knows
    /// its address must be told.
    func moved(expires: Bool, valueCount: Int, valueCapacity: Int = 0) -> Entry {
        let new = Entry.make(key: key, valueCount: valueCount, expires: expires, valueCapacity: valueCapacity)
        memcpy(new.base + 8, base + 8, 8)
        new.flags = expires ? flags.union(.expires) : flags.subtracting(.expires)
        if expires, self.expires { memcpy(new.base - 16, base - 16, 16) }
        memcpy(new.base + Self.headerBytes + keyCount, base + Self.headerBytes + keyCount, min(valueCount, self.valueCount))
        free()
        return new
    }

    func free() {
        #if canImport(Glibc)
        Glibc.free(block)
        #else
        Musl.free(block)
        #endif
    }

    // MARK: Objects

    /// The object of a value that is no string; the entry keeps its reference.
    func object<Object: AnyObject>(as type: Object.Type) -> Object {
        assert(self.type != .string)
        let pointer = (base + Self.headerBytes + keyCount).loadUnaligned(as: UnsafeRawPointer.self)
        return Unmanaged<Object>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Gives the entry an object to own. The value has 8 bytes.
    func adopt(_ object: AnyObject, type: ValueType) {
        assert(valueCount == 8)
        self.type = type
        let pointer = UnsafeRawPointer(Unmanaged.passRetained(object).toOpaque())
        (base + Self.headerBytes + keyCount).storeBytes(of: pointer, as: UnsafeRawPointer.self)
    }

    /// The reference that the entry has; who takes it releases it, and the entry is to be freed next.
    var ownedObject: Unmanaged<AnyObject> {
        Unmanaged.fromOpaque((base + Self.headerBytes + keyCount).loadUnaligned(as: UnsafeRawPointer.self))
    }

    /// Ends the ownership; the entry is to be freed next.
    func releaseObject() {
        guard type != .string else { return }
        ownedObject.release()
    }
}

/// What a key holds. The names are `TYPE`'s.
public enum ValueType: UInt8, Sendable, CaseIterable {
    case string = 0, list, set, zset, hash, stream

    public var name: String { "\(self)" }
}
