// One program for all fuzz targets: `headrace-fuzz TARGET [libFuzzer's options and corpus folders]`; see Fuzz/run.
//
// How it works:
// 1. libFuzzer makes inputs and watches which branches of our own targets they reach.
// 2. A target gives the input to a parser and checks what must hold for every input; a trap is a find.
// 3. A find is written to Fuzz/Finds; once understood it becomes a file in Fuzz/FailCases and a unit test.

import FuzzChecks
import Glibc

typealias FuzzedFunction = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ argumentCount: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ function: FuzzedFunction
) -> Int32

private func run(_ target: FuzzTarget, _ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    target.check(UnsafeBufferPointer(start: start, count: count))
    return 0
}

// A function of C captures nothing: one for each.
let targets: [String: FuzzedFunction] = [
    "request": { start, count in run(.request, start, count) },
    "response": { start, count in run(.response, start, count) },
    "body": { start, count in run(.body, start, count) },
    "fields": { start, count in run(.fields, start, count) },
    "snapshot": { start, count in run(.snapshot, start, count) },
    "payload": { start, count in run(.payload, start, count) },
    "log": { start, count in run(.log, start, count) },
    "frames": { start, count in run(.frames, start, count) },
    "startup": { start, count in run(.startup, start, count) },
    "scram": { start, count in run(.scram, start, count) },
    "session": { start, count in run(.session, start, count) },
    "sql": { start, count in run(.sql, start, count) },
    "command": { start, count in run(.command, start, count) },
    "reply": { start, count in run(.reply, start, count) },
    "user": { start, count in run(.user, start, count) },
    "headers": { start, count in run(.headers, start, count) },
    "schedule": { start, count in run(.schedule, start, count) },
    "origin": { start, count in run(.origin, start, count) },
    // Must be found within a moment, or the others find nothing either.
    "canary": { start, count in
        checkCanary(UnsafeBufferPointer(start: start, count: count))
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
