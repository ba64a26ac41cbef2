// Files and payloads of the keyspace: snapshots, packed lists in payloads of RESTORE, the append log and its manifest.
//
// How it works:
// 1. `snapshot` and `log` read the input as a file. A checksum would stop every changed input at its door, so the fuzzer's files have none
//    (zero), and `payload` makes the envelope around its input itself.
// 2. What is accepted must be written and read again as the same, and take memory in proportion to the input.

import Keyspace

/// A snapshot file; its checksum is taken away.
package func checkSnapshot(_ input: UnsafeBufferPointer<UInt8>) {
    var bytes = Array("REDIS0012".utf8)
    bytes += input
    bytes.withUnsafeBufferPointer { buffer in
        do throws(RDBError) {
            let found = try entries(in: UnsafeRawBufferPointer(buffer), mapped: false)
            precondition((try? entries(in: UnsafeRawBufferPointer(buffer), mapped: true)) == found, "other entries where they lie")
            checkRoundTrip(found)
        } catch {
            precondition(error.offset >= 0, "an offset that is none")
            precondition((try? entries(in: UnsafeRawBufferPointer(buffer), mapped: true)) == nil, "no error where they lie")
        }
    }
}

/// - Parameter mapped: strings as they lie in the file where they can be had so, as the keyspace loads them.
private func entries(in bytes: UnsafeRawBufferPointer, mapped: Bool) throws(RDBError) -> [SnapshotEntry] {
    var reader = try RDBReader(bytes, now: 1)
    var entries: [SnapshotEntry] = []
    while true {
        if mapped, let string = try reader.mappedString() {
            guard let value = string.copiedValue else { throw RDBError(.compressionMalformed, at: reader.offset) }
            entries.append(SnapshotEntry(database: string.database, key: Array(string.key), value: .string(value), expiry: string.expiry))
            continue
        }
        let event = try reader.next()
        precondition(reader.offset <= bytes.count, "read beyond the end")
        if case .entry(let entry) = event { entries.append(entry) }
        if event == .end { return entries }
    }
}

private func checkRoundTrip(_ entries: [SnapshotEntry]) {
    var writer = RDBWriter()
    for entry in entries { writer.write(entry) }
    let bytes = writer.takeBytes()
    let file = bytes + writer.finish()
    file.withUnsafeBufferPointer { buffer in
        do throws(RDBError) {
            var reader = try RDBReader(UnsafeRawBufferPointer(buffer), now: 1)
            var index = 0
            while true {
                switch try reader.next() {
                case .entry(let entry):
                    while entries[index].value.isEmptyCollection { index += 1 }
                    // A stream's form in version 9 leaves counters out.
                    if case .stream = entry.value {} else { precondition(entry == entries[index], "another entry came back") }
                    index += 1
                case .end: return
                case .auxiliary, .sizes, .function, .moduleAuxiliary: break
                }
            }
        } catch { preconditionFailure("what was written is not read: \(error)") }
    }
}

/// The value of a payload: its type and bytes, without a checksum.
package func checkPayload(_ input: UnsafeBufferPointer<UInt8>) {
    let payload = Array(input) + [9, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    payload.withUnsafeBufferPointer { buffer in
        guard let value = try? DumpPayload.read(UnsafeRawBufferPointer(buffer), now: 1) else { return }
        precondition(!value.isEmptyCollection && !value.hasRepeatedElements)
        let again = DumpPayload.make(value)
        again.withUnsafeBufferPointer { buffer in
            let second = try? DumpPayload.read(UnsafeRawBufferPointer(buffer), now: 1)
            if case .stream = value { precondition(second != nil) } else { precondition(second == value, "another value came back") }
        }
    }
}

/// An append-only file, and the same bytes as a manifest.
package func checkLog(_ input: UnsafeBufferPointer<UInt8>) {
    var replay = AppendLogReplay(UnsafeRawBufferPointer(input))
    var log = AppendLog()
    var commands: [AppendLogReplay.Command] = []
    do throws(AppendLogReader.Damage) {
        loop: while true {
            switch try replay.next() {
            case .apply(let command): commands.append(command)
            case .applyTogether(let some): commands += some
            case .finished(let count):
                precondition(count >= 0 && count <= input.count, "the whole part is longer than the file")
                break loop
            }
        }
    } catch { precondition(error.offset >= 0 && error.offset <= input.count) }
    for command in commands { log.append(command.words, database: command.database) }
    let bytes = log.takeBatch().before
    bytes.withUnsafeBufferPointer { buffer in
        var second = AppendLogReplay(UnsafeRawBufferPointer(buffer))
        var index = 0
        while let step = try? second.next(), case .apply(let command) = step {
            precondition(command == commands[index], "another command came back")
            index += 1
        }
    }
    if let manifest = try? AppendLogManifest(parsing: Array(input)) {
        precondition((try? AppendLogManifest(parsing: manifest.bytes)) == manifest, "another manifest came back")
    }
}
