/// Which events of keys are published (`notify-keyspace-events`), and under which names.
///
/// - Source: redis.io, "Redis keyspace notifications"; `notify.c` of Redis 7.
package struct KeyspaceEvents: Equatable, Sendable {
    /// A class of events: its letter in the configuration.
    package enum Class: Character, CaseIterable, Sendable {
        case generic = "g"
        case string = "$"
        case list = "l"
        case set = "s"
        case hash = "h"
        case sortedSet = "z"
        case expired = "x"
        case evicted = "e"
        case stream = "t"
        case module = "d"
        /// Not in `A`.
        case keyMiss = "m"
        /// Not in `A`.
        case new = "n"
    }

    private var classes: UInt16 = 0
    /// `K`: to `__keyspace@DB__:KEY`, the event as the message.
    package private(set) var toKeyChannels = false
    /// `E`: to `__keyevent@DB__:EVENT`, the key as the message.
    package private(set) var toEventChannels = false

    package init() {}

    /// - Returns: `nil` when a letter is unknown.
    package init?(parsing text: some StringProtocol) {
        for letter in text {
            switch letter {
            case "K": toKeyChannels = true
            case "E": toEventChannels = true
            case "A": for each in Class.allCases where each != .keyMiss && each != .new { insert(each) }
            default:
                guard let each = Class(rawValue: letter) else { return nil }
                insert(each)
            }
        }
    }

    private static func bit(_ each: Class) -> UInt16 { 1 << UInt16(Class.allCases.firstIndex(of: each) ?? 0) }

    private mutating func insert(_ each: Class) { classes |= Self.bit(each) }

    package func contains(_ each: Class) -> Bool { classes & Self.bit(each) != 0 }

    /// Whether anything is published at all: asked before each event, so it must be cheap.
    package var isOff: Bool { classes == 0 || !(toKeyChannels || toEventChannels) }

    /// As `CONFIG GET` says it: `A` for all classes that it stands for.
    package var text: String {
        var text = ""
        let all = Class.allCases.filter { $0 != .keyMiss && $0 != .new }
        if all.allSatisfy(contains) {
            text = "A"
        } else {
            for each in all where contains(each) { text.append(each.rawValue) }
            // Redis 7 says this one only where it lists the classes.
            if contains(.new) { text.append("n") }
        }
        if toKeyChannels { text.append("K") }
        if toEventChannels { text.append("E") }
        if contains(.keyMiss) { text.append("m") }
        return text
    }

    /// What is published for an event.
    package func messages(_ each: Class, event: String, key: [UInt8], database: Int) -> [(channel: [UInt8], message: [UInt8])] {
        guard !isOff, contains(each) else { return [] }
        var messages: [(channel: [UInt8], message: [UInt8])] = []
        if toKeyChannels { messages.append((Array("__keyspace@\(database)__:".utf8) + key, Array(event.utf8))) }
        if toEventChannels { messages.append((Array("__keyevent@\(database)__:\(event)".utf8), key)) }
        return messages
    }
}
