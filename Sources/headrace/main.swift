import Edge
import Logging
import NIOCore
var c = EdgeConfiguration()
let args = CommandLine.arguments
var i = 1
while i + 1 < args.count {
    switch args[i] {
    case "--app":
        c.upstream = .init(endpoint: .tcp(host: "127.0.0.1", port: Int(args[i+1])!))
    case "--listen": c.listen = [.tcp(host: "127.0.0.1", port: Int(args[i+1])!)]
    case "--root": c.root = args[i+1]
    case "--threads": c.threads = Int(args[i+1])!
    default: break
    }
    i += 2
}
let server = try EdgeServer(configuration: c, logger: Logger(label: "x"))
let a = try await server.start()
print(a)
try await Task.sleep(for: .seconds(100000))
