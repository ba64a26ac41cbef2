import NIOCore

/// Clients that share a connection of HTTP/2, which is made anew when it has ended. Belongs to their event loop.
final class HTTP2Group {
    typealias Completion = (Result<any RequestLink, any Error>) -> Void

    var jar = CookieJar()
    private var connection: HTTP2LoadConnection?
    private var isConnecting = false
    /// Of clients that wait for the connection.
    private var completions: [Completion] = []
    private let isAlone: Bool

    /// - Parameter isAlone: it has one client, which makes a connection for each of its requests.
    init(isAlone: Bool) {
        self.isAlone = isAlone
    }

    /// Has a client wait for a place.
    /// - Returns: whether a connection is to be made; ``connected(_:)`` says how that went.
    func join(_ completion: @escaping Completion) -> Bool {
        if let connection, connection.isOpen {
            completion(.success(place(on: connection)))
            return false
        }
        completions.append(completion)
        guard !isConnecting else { return false }
        isConnecting = true
        return true
    }

    func connected(_ result: Result<HTTP2LoadConnection, any Error>) {
        isConnecting = false
        connection = try? result.get()
        let completions = self.completions
        self.completions.removeAll()
        for completion in completions { completion(result.map { place(on: $0) }) }
    }

    func close() {
        connection?.close()
        connection = nil
        completions.removeAll()
    }

    private func place(on connection: HTTP2LoadConnection) -> any RequestLink {
        let place = connection.place()
        place.isAlone = isAlone
        return place
    }
}
