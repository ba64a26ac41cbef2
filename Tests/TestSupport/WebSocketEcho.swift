import Foundation

/// A real WebSocket server, Python's `websockets`, that sends back what it gets; its clients are of the same making.
public final class WebSocketEcho {
    public static let isInstalled: Bool = (try? Command.run("python3", ["-c", "import websockets"]).status) == 0

    private let process = Program()
    public let port: Int

    public init() throws {
        let program = """
            import asyncio, websockets
            async def echo(socket, path):
                async for message in socket:
                    await socket.send(message)
            async def main():
                server = await websockets.serve(echo, "127.0.0.1", 0, max_size=None)
                print(server.sockets[0].getsockname()[1], flush=True)
                await asyncio.Future()
            asyncio.run(main())
            """
        let pipe = Pipe()
        process.executableURL = Command.find("python3")
        process.arguments = ["-c", program]
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.start()
        let text = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw HeadraceProcess.Failure(description: "no port from the WebSocket server: \(text)")
        }
        self.port = port
    }

    public var url: String { "http://127.0.0.1:\(port)" }

    deinit {
        process.terminate()
    }

    /// Clients that each send messages of growing size through an address and compare what comes back.
    /// - Returns: what the client program says: `ok` when all is well.
    public static func exchange(port: Int, clients: Int, messages: Int) throws -> String {
        let program = """
            import asyncio, websockets
            async def one(number):
                async with websockets.connect("ws://127.0.0.1:\(port)/chat", max_size=None) as socket:
                    for count in range(\(messages)):
                        message = bytes([number % 256]) * (1 << (count % 21))
                        await socket.send(message)
                        assert await socket.recv() == message
            async def main():
                await asyncio.gather(*(one(number) for number in range(\(clients))))
                print("ok")
            asyncio.run(main())
            """
        let result = try Command.run("python3", ["-c", program])
        return result.text.trimmingCharacters(in: .whitespacesAndNewlines) + result.errors.suffix(500)
    }
}
