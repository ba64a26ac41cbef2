// One program for all fuzz targets: `headrace-fuzz TARGET [libFuzzer's options and corpus folders]`; alone it names the targets. See Fuzz/run.
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

// A function of C captures nothing, and so what it needs is here.
enum Arguments {
    static let name = CommandLine.argc > 1 ? CommandLine.arguments[1] : nil
    static let target = name.flatMap(FuzzTarget.init(rawValue:))
}

let function: FuzzedFunction = { start, count in
    let input = UnsafeBufferPointer(start: start, count: count)
    // The canary must be found within a moment, or the others find nothing either.
    if let target = Arguments.target { target.check(input) } else { checkCanary(input) }
    return 0
}

guard let name = Arguments.name else {
    print(FuzzTarget.allCases.map(\.rawValue).joined(separator: "\n"))
    exit(0)
}
guard Arguments.target != nil || name == "canary" else { fatalError("no target has the name \(name)") }
// libFuzzer takes the first argument for the program's name.
var count = CommandLine.argc - 1
var arguments = CommandLine.unsafeArgv + 1
let status = withUnsafeMutablePointer(to: &count) { count in
    withUnsafeMutablePointer(to: &arguments) { arguments in runDriver(count, arguments, function) }
}
exit(status)
