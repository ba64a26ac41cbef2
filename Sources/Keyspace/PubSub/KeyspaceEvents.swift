/// Which events of keys are published (`notify-keyspace-events`), and under which names.
///
/// - Source: redis.io, "Redis keyspace notifications"; `notify.c` of Redis 7.
package struct KeyspaceEvents: Equatable, Sendable {
    /// A class of events: one bit each, so that a set of them is asked with one test.
    package enum Class: UInt16, CaseIterable, Sendable {
        case generic = 1
        case string = 2
        case list = 4
        case set = 8
        case hash = 16
        case sortedSet = 32
        case expired = 64
        case evicted = 128
        case stream = 256
        case module = 512
        /// A command that reads found no key. Not in `A`.
        case keyMiss = 1024
        /// A key is there that was not. Not in `A`.
        case new = 2048

        /// In the configuration.
        package var letter: Character {
            switch self {
            case .generic: "g"
            case .string: "$"
            case .list: "l"
            case .set: "s"
            case .hash: "h"
            case .sortedSet: "z"
            case .expired: "x"
            case .evicted: "e"
            case .stream: "t"
            case .module: "d"
            case .keyMiss: "m"
            case .new: "n"
            }
        }
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
                guard let each = Class.allCases.first(where: { $0.letter == letter }) else { return nil }
                insert(each)
            }
        }
    }

    private mutating func insert(_ each: Class) { classes |= each.rawValue }

    package func contains(_ each: Class) -> Bool { classes & each.rawValue != 0 }

    /// Whether nothing is published at all.
    package var isOff: Bool { published == 0 }

    /// The bits of the classes that are published: asked before each event, so it must be cheap.
    package var published: UInt16 { toKeyChannels || toEventChannels ? classes : 0 }

    /// As `CONFIG GET` says it: `A` for all classes that it stands for.
    package var text: String {
        var text = ""
        let all = Class.allCases.filter { $0 != .keyMiss && $0 != .new }
        if all.allSatisfy(contains) {
            text = "A"
        } else {
            for each in all where contains(each) { text.append(each.letter) }
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
