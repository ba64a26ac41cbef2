import Edge
import Foundation
import Transport

/// A file or folder that a value names.
struct NamedFile: Hashable {
    /// `edge.routes[2].basic_auth.file`.
    let key: String
    let path: String
    var isFolder = false

    /// Says of each folder of files, file of passwords and maintenance page that cannot be read what is wrong with it.
    static func add(_ settings: Settings, to findings: inout SettingFindings) {
        for file in folders(settings.edge) + texts(settings.edge) {
            if let problem = file.problem { findings.add([file.key], "\(file.key): \(problem)") }
        }
        if let user = settings.user, ServingUser(named: user) == nil { findings.add(["user"], "user: this machine has no user \"\(user)\"") }
    }

    /// Every file that is read because of a configuration, its own file too.
    static func paths(_ loaded: ConfigurationSources.Loaded) -> Set<String> {
        let (settings, edge) = (loaded.settings, loaded.settings.edgeConfiguration)
        var named = [loaded.fileName, settings.poolerUsersFile, settings.poolerRulesFile, edge.tls.clientAuthorities, settings.keyspace.tls.clientAuthorities]
        for files in [settings.pooler.tls.clientFiles, settings.pooler.tls.serverFiles] + edge.upstreams.values.map(\.tls.files) {
            named += [files.certificate, files.key, files.authorities]
        }
        return loaded.secretFiles
            .union(texts(edge).map(\.path)).union(edge.tls.certificates).union(edge.tls.keys)
            .union(settings.keyspace.tls.certificates).union(settings.keyspace.tls.keys).union(named.compactMap { $0 })
    }

    private static func folders(_ edge: EdgeConfiguration) -> [NamedFile] {
        let root = edge.root.map { [NamedFile(key: "edge.root", path: $0, isFolder: true)] } ?? []
        return root + edge.routes.enumerated().compactMap { index, route in
            route.files.root.map { NamedFile(key: "edge.routes[\(index + 1)].files.root", path: $0, isFolder: true) }
        }
    }

    private static func texts(_ edge: EdgeConfiguration) -> [NamedFile] {
        edge.routes.enumerated().flatMap { index, route in
            let path = "edge.routes[\(index + 1)]"
            let passwords = route.basicAuth.file.map { NamedFile(key: "\(path).basic_auth.file", path: $0) }
            let page = route.maintenance.isEnabled ? route.maintenance.page.map { NamedFile(key: "\(path).maintenance.page", path: $0) } : nil
            return [passwords, page].compactMap { $0 }
        }
    }

    /// Those that a reload reads anew, each path once, with what is in it now.
    static func digests(_ edge: EdgeConfiguration) -> [NamedFile: Int] {
        var files = texts(edge)
        if !edge.tls.listen.isEmpty {
            files += edge.tls.certificates.map { NamedFile(key: "edge.tls.certificates", path: $0) }
            files += edge.tls.keys.map { NamedFile(key: "edge.tls.keys", path: $0) }
        }
        for (name, group) in edge.upstreams where group.members.contains(where: \.isSecure) {
            let path = name == "app" && edge.application != nil ? "edge.upstream" : "edge.upstreams.\(name)"
            let tls = group.tls.files
            for (key, file) in [("certificate", tls.certificate), ("key", tls.key), ("authorities", tls.authorities)] {
                if let file { files.append(NamedFile(key: "\(path).tls.\(key)", path: file)) }
            }
        }
        return Dictionary(files.compactMap { file in file.digest.map { (file, $0) } }) { first, _ in first }
    }

    /// What the log says of files whose name stayed and whose content did not, in the order of their keys.
    static func changes(from old: [NamedFile: Int], to new: [NamedFile: Int]) -> [String] {
        let before = Dictionary(old.map { ($0.key.path, $0.value) }) { first, _ in first }
        var said: Set<String> = []
        return new.sorted { ($0.key.key, $0.key.path) < ($1.key.key, $1.key.path) }.compactMap { file, digest in
            guard let known = before[file.path], known != digest, said.insert(file.path).inserted else { return nil }
            return "\(file.key): \(file.path) was read anew and differs"
        }
    }

    /// In plain words; `nil` when it can be read.
    private var problem: String? {
        var status = stat()
        if stat(path, &status) == 0 {
            let isThere = status.st_mode & S_IFMT == S_IFDIR
            if isFolder, !isThere { return "cannot read the folder \(path): it is a file" }
            if !isFolder, isThere { return "the file \(path) cannot be read: it is a folder" }
            if access(path, isFolder ? R_OK | X_OK : R_OK) == 0 { return nil }
        }
        let code = errno
        guard !isFolder, code == EACCES else { return refused(code) }
        // This process may not, and another may for it.
        do throws(ConfiguredFile.Problem) {
            close(try ConfiguredFile.open(path))
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func refused(_ code: Int32) -> String {
        let reason =
            switch code {
            case ENOENT, ENOTDIR: "it is not there"
            case EACCES, EPERM: "this user may not"
            default: String(cString: strerror(code))
            }
        return isFolder ? "cannot read the folder \(path): \(reason)" : "the file \(path) cannot be read: \(reason)"
    }

    /// Of its bytes, good within this process; `nil` when they cannot be read, or are more than any of these files may have.
    private var digest: Int? {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG { return nil }
        guard let bytes = try? ConfiguredFile.read(path, bytesMax: RouteConfiguration.BasicAuth.fileBytesMax) else { return nil }
        var hasher = Hasher()
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }
}
