/// A value of which copies are one until one of them is written to.
struct Shared<Value: Sendable>: Sendable {
    /// `@unchecked Sendable`: written to only when nobody else has it.
    private final class Storage: @unchecked Sendable {
        var value: Value

        init(_ value: Value) {
            self.value = value
        }
    }

    private var storage: Storage

    init(_ value: Value) {
        storage = Storage(value)
    }

    @inline(__always)
    var value: Value {
        get { storage.value }
        _modify {
            if !isKnownUniquelyReferenced(&storage) { storage = Storage(storage.value) }
            yield &storage.value
        }
    }
}
