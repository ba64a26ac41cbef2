/// The value of a key that is no string. It belongs to the shard of its key, under whose lock alone it is touched.
///
/// There are as many as there are small collections: those take 40 bytes each, 48 with what `malloc` adds, and a block with their elements.
class StoredObject {
    /// What the database has counted of the object's memory.
    final var accountedBytes = 0
    /// Whether a key has the object.
    final var isStored = false

    /// Memory of the object and all that it owns.
    final var bytes: Int { malloc_usable_size(Unmanaged.passUnretained(self).toOpaque()) + 8 + elementBytes }
    /// Memory of what the object owns.
    var elementBytes: Int { preconditionFailure("every stored object counts its own memory") }
    /// Elements; a key whose object has none is removed.
    var count: Int { preconditionFailure("every stored object counts its own elements") }
    /// Whether each element has memory of its own.
    var isTable: Bool { false }
    /// What `OBJECT ENCODING` says.
    var encoding: StaticString { preconditionFailure("every stored object has an encoding") }
    /// The object's content, for snapshots and copies.
    func snapshot() -> SnapshotValue { preconditionFailure("every stored object has a snapshot") }
}
