import Transport

/// What a layer's own process is told by its supervisor, on its command line, behind what the supervisor was started with.
struct WorkerPlace: Sendable {
    struct Socket: Sendable {
        let endpoint: SocketEndpoint
        let descriptor: Int32
    }

    /// The numbers of its door to ``FileBroker`` and of its first socket: none of those that a supervisor has itself, some thirty.
    private static let (filesDescriptor, firstDescriptor): (Int32, Int32) = (999, 1000)

    let layer: Layer
    /// Of the supervisor.
    var sockets: [Socket] = []
    /// Where the processes meet: doors, notices, incidents. Only their user may enter it.
    let folder: String
    /// Where it asks for files that it may not read; `nil` where nobody would give it any.
    var files: Int32?

    var descriptors: [(own: Int32, there: Int32)] {
        sockets.enumerated().map { ($1.descriptor, Self.firstDescriptor + Int32($0)) } + (files.map { [($0, Self.filesDescriptor)] } ?? [])
    }

    var arguments: [String] {
        let inherited = sockets.enumerated().map { (endpoint: $1.endpoint, descriptor: Self.firstDescriptor + Int32($0)) }
        return ["--worker", layer.rawValue, "--worker-folder", folder, "--worker-sockets", ListeningSocket.text(of: inherited)]
            + (files == nil ? [] : ["--worker-files", "\(Self.filesDescriptor)"])
    }

    /// Files with the numbers of the other layers' processes.
    func others(of layers: [Layer]) -> [String] { layers.filter { $0 != layer }.map { Self.number(of: $0, in: folder) } }

    /// The file with the number of a layer's process.
    static func number(of layer: Layer, in folder: String) -> String { "\(folder)/\(layer.rawValue).process" }

    var incidentsPath: String { Self.incidents(in: folder) }

    static func incidents(in folder: String) -> String { folder + "/incidents" }
}
