// One program for all fuzz targets: `headrace-fuzz TARGET [libFuzzer's options and corpus folders]`; see Fuzz/run.
//
// How it works:
// 1. libFuzzer makes inputs and watches which branches of our four pure targets they reach.
// 2. A target gives the input to a parser and checks what must hold for every input; a trap is a find.
// 3. A find is written to Fuzz/Finds; once understood it becomes a file in Fuzz/FailCases and a unit test.

import Glibc

typealias FuzzedFunction = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ argumentCount: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ function: FuzzedFunction
) -> Int32

let targets: [String: FuzzedFunction] = [
    "request": { start, count in
        checkMessages(UnsafeBufferPointer(start: start, count: count), sender: .client)
        return 0
    },
    "response": { start, count in
        checkMessages(UnsafeBufferPointer(start: start, count: count), sender: .upstream)
        return 0
    },
    "body": { start, count in
        checkBody(UnsafeBufferPointer(start: start, count: count))
        return 0
    },
    "fields": { start, count in
        checkFields(UnsafeBufferPointer(start: start, count: count))
        return 0
    },
    "snapshot": { start, count in
        checkSnapshot(UnsafeBufferPointer(start: start, count: count))
        return 0
    },
    "payload": { start, count in
        checkPayload(UnsafeBufferPointer(start: start, count: count))
        return 0
    },
    "log": { start, count in
        checkLog(UnsafeBufferPointer(start: start, count: count))
        return 0
    },
    // Must be found within a moment, or the others find nothing either.
    "canary": { start, count in
        let bytes = UnsafeBufferPointer(start: start, count: count)
        if bytes.starts(with: "tweet".utf8) { preconditionFailure("the canary sings") }
        return 0
    },
]

guard CommandLine.argc > 1, let function = targets[CommandLine.arguments[1]] else {
    fatalError("which target? \(targets.keys.sorted().joined(separator: ", "))")
}
// libFuzzer takes the first argument for the program's name.
var count = CommandLine.argc - 1
var arguments = CommandLine.unsafeArgv + 1
let status = withUnsafeMutablePointer(to: &count) { count in
    withUnsafeMutablePointer(to: &arguments) { arguments in runDriver(count, arguments, function) }
}
exit(status)
