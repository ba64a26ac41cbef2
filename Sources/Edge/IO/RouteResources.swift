import Transport

/// What routes need and all event loops share, made before a configuration takes effect, so that one that cannot be run changes nothing.
struct RouteResources: Sendable {
    /// What is wrong, with the route that it is about.
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// By folder.
    let files: [String: StaticFiles]
    /// By the path of the file of passwords.
    let authenticators: [String: BasicAuthenticator]
    /// The pages of ``RouteConfiguration/Maintenance``, by path.
    let pages: [String: String]
    let passwords: PasswordThreads
    /// By the number of their route.
    let limiters: [Int: RateLimiter]
    /// Of the groups with members that are reached with TLS, by name. Files are read anew each time.
    let upstreamTLS: [String: UpstreamTLS]

    /// - Parameter previous: What it has already is used again; of a file of passwords, if it says the same, and of a limit, if its route is
    ///   where it was.
    /// - Throws: when a file or folder cannot be read, or a file of passwords has a line that cannot be understood.
    init(_ configuration: EdgeConfiguration, previous: RouteResources?) throws {
        var files: [String: StaticFiles] = [:]
        for root in configuration.routeTable.compactMap(\.files.root) where files[root] == nil {
            files[root] = try previous?.files[root] ?? StaticFiles(root: root)
        }
        self.files = files
        var authenticators: [String: BasicAuthenticator] = [:]
        for path in configuration.routes.compactMap(\.basicAuth.file) where authenticators[path] == nil {
            let text = try ConfiguredFile.text(path, bytesMax: RouteConfiguration.BasicAuth.fileBytesMax)
            if let known = previous?.authenticators[path], known.text == text {
                authenticators[path] = known
                continue
            }
            do throws(BasicAuthenticator.Problem) {
                authenticators[path] = try BasicAuthenticator(text)
            } catch {
                throw Problem(description: "the file \(path): \(error)")
            }
        }
        self.authenticators = authenticators
        var pages: [String: String] = [:]
        for path in configuration.routes.filter(\.maintenance.isEnabled).compactMap(\.maintenance.page) where pages[path] == nil {
            pages[path] = try ConfiguredFile.text(path, bytesMax: RouteConfiguration.Maintenance.pageBytesMax)
        }
        self.pages = pages
        passwords = previous?.passwords ?? PasswordThreads()
        var limiters: [Int: RateLimiter] = [:]
        for (number, route) in configuration.routeTable.enumerated() {
            let known = previous?.limiters[number]
            let new = RateLimiter(route.rateLimit, storeName: configuration.limits.rateStore == nil ? nil : route.title(number, of: configuration))
            limiters[number] = known?.limit == new?.limit && known?.storeName == new?.storeName ? known : new
        }
        self.limiters = limiters
        var upstreamTLS: [String: UpstreamTLS] = [:]
        for (name, group) in configuration.upstreams where group.members.contains(where: \.isSecure) {
            do {
                upstreamTLS[name] = try UpstreamTLS(group.tls)
            } catch {
                throw Problem(description: "the TLS of the group \(name): \(error)")
            }
        }
        self.upstreamTLS = upstreamTLS
    }
}
