/// A stream with its entries and consumer groups, whole.
package struct SnapshotStream: Equatable, Sendable {
    /// The time and the number within it that name an entry; compared in this order.
    package struct ID: Equatable, Comparable, Hashable, Sendable {
        package var milliseconds: UInt64
        package var sequence: UInt64

        package init(_ milliseconds: UInt64, _ sequence: UInt64) {
            self.milliseconds = milliseconds
            self.sequence = sequence
        }

        package static func < (first: ID, second: ID) -> Bool {
            (first.milliseconds, first.sequence) < (second.milliseconds, second.sequence)
        }
    }

    package struct Entry: Equatable, Sendable {
        package var id: ID
        /// Names and values by turns: the count is even.
        package var fields: [[UInt8]]

        package init(id: ID, fields: [[UInt8]]) {
            self.id = id
            self.fields = fields
        }
    }

    /// An entry that was delivered and not yet acknowledged.
    package struct Pending: Equatable, Sendable {
        package var id: ID
        /// Milliseconds since 1970-01-01 UTC.
        package var deliveryTime: Int64
        package var deliveryCount: UInt64
    }

    package struct Consumer: Equatable, Sendable {
        package var name: [UInt8]
        /// Milliseconds since 1970-01-01 UTC.
        package var seenTime: Int64
        /// Milliseconds since 1970-01-01 UTC; -1 when the file is older than the field.
        package var activeTime: Int64
        /// Which of the group's pending entries are this consumer's.
        package var pending: [ID]
    }

    package struct Group: Equatable, Sendable {
        package var name: [UInt8]
        package var lastDelivered: ID
        /// -1 when nobody knows.
        package var entriesRead: Int64
        package var pending: [Pending]
        package var consumers: [Consumer]
    }

    /// In ascending order of their IDs.
    package var entries: [Entry]
    package var lastID: ID
    package var maxDeletedID: ID
    /// Of all times, those that were deleted included.
    package var entriesAdded: UInt64
    package var groups: [Group]

    package init(
        entries: [Entry] = [], lastID: ID = ID(0, 0), maxDeletedID: ID = ID(0, 0), entriesAdded: UInt64? = nil, groups: [Group] = []
    ) {
        self.entries = entries
        self.lastID = lastID
        self.maxDeletedID = maxDeletedID
        self.entriesAdded = entriesAdded ?? UInt64(entries.count)
        self.groups = groups
    }
}
