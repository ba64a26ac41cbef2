import Foundation
import TestSupport
import Testing

/// `scripts/setup` on systems that these machines are not: in a folder that stands for the system, with an apt-get that only writes down what
/// it is told.
@Suite struct SetupTests {
    /// A system as the script sees it. `apt-get`, `dpkg-query`, `sudo` and `swift` are ours; of the real system it finds a handful of tools.
    private struct System {
        let root: TemporaryFolder
        private let programs: TemporaryFolder
        private let calls: URL
        private static let tools = ["bash", "cat", "chmod", "cp", "env", "flock", "grep", "head", "mv", "rm", "sed", "sort", "tr"]

        /// - Parameters:
        ///   - release: what `/etc/os-release` says; `nil` for none.
        ///   - installed: packages that are there.
        ///   - postgresql: the version whose server is there.
        ///   - absent: what apt-get cannot install.
        init(_ release: String?, installed: [String] = [], postgresql: Int? = nil, absent: String = "nothing", swift: String = "6.3") throws {
            root = try TemporaryFolder()
            programs = try TemporaryFolder()
            calls = root.url.appending(path: "calls")
            for folder in ["etc/postgresql-common", "usr/sbin"] {
                try FileManager.default.createDirectory(at: root.url.appending(path: folder), withIntermediateDirectories: true)
            }
            if let release { try write("etc/os-release", release) }
            try write("etc/postgresql-common/createcluster.conf", "#create_main_cluster = true\n")
            if let postgresql {
                let folder = "usr/lib/postgresql/\(postgresql)/bin"
                try FileManager.default.createDirectory(at: root.url.appending(path: folder), withIntermediateDirectories: true)
                try write("\(folder)/initdb", "")
            }
            for tool in Self.tools {
                let path = try #require(Command.find(tool)).path
                try FileManager.default.createSymbolicLink(atPath: programs.url.appending(path: tool).path, withDestinationPath: path)
            }
            try program("apt-get", """
                echo "apt-get $*" >>'\(calls.path)'
                if [[ " $* " == *" install "* ]]; then
                    '\(root.path)/usr/sbin/policy-rc.d' && echo "services may start" >>'\(calls.path)'
                    grep -q '^create_main_cluster = false' '\(root.path)/etc/postgresql-common/createcluster.conf' && echo "no cluster" >>'\(calls.path)'
                fi
                [[ " $* " != *" \(absent) "* ]]
                """)
            try program("dpkg-query", "printf 'installed %s\\n' \(installed.joined(separator: " "))")
            try program("sudo", "exec \"$@\"")
            try program("swift", "echo 'Swift version \(swift) (swift-\(swift)-RELEASE)'")
        }

        func write(_ path: String, _ text: String) throws { try Data(text.utf8).write(to: root.url.appending(path: path)) }

        func read(_ path: String) -> String? { try? String(contentsOf: root.url.appending(path: path), encoding: .utf8) }

        private func program(_ name: String, _ text: String) throws {
            try Starter.shared.write(program: "#!/bin/bash\n\(text)\n", to: programs.url.appending(path: name))
        }

        /// Tools that are told by their program, and not by their package.
        func linkTools(_ names: String...) throws {
            for name in names { try program(name, "exit 0") }
        }

        func setup(_ arguments: String...) throws -> Command.Result { try setup(arguments) }

        func setup(_ arguments: [String]) throws -> Command.Result {
            try Command.run(
                "env",
                [
                    "-i", "PATH=\(programs.path)", "HEADRACE_SETUP_ROOT=\(root.path)", "bash",
                    HeadraceProcess.repository.appending(path: "scripts/setup").path,
                ] + arguments)
        }

        /// What apt-get was told, a line for each.
        var log: [String] { (read("calls") ?? "").split(separator: "\n").map(String.init) }

        /// Packages that it was to install.
        var packages: [String] {
            log.compactMap { $0.components(separatedBy: " install ").dropFirst().first }.flatMap { $0.split(separator: " ").map(String.init) }
        }

        /// Files below the system's folder.
        var files: [String] { (FileManager.default.subpaths(atPath: root.path) ?? []).sorted() }
    }

    private static let ubuntu = "NAME=Ubuntu\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n"

    @Test(arguments: [
        "ID=fedora\nVERSION_ID=43\n", "ID=\"rhel\"\nID_LIKE=\"fedora\"\n", "ID=arch\n", "ID=alpine\n", "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n", "NAME=Something\n",
        "", nil,
    ])
    func `on another system it says what to install, fails, and touches nothing`(release: String?) throws {
        let system = try System(release)
        let before = system.files
        for arguments in [["build", "demo"], ["--check"]] {
            let result = try system.setup(arguments)
            #expect(result.status == 1 && result.text.isEmpty)
            for word in ["neither Debian nor Ubuntu", "Swift 6.2", "libdeflate", "PostgreSQL's server", "gunicorn", "nginx"] {
                #expect(result.errors.contains(word), "\(word)")
            }
        }
        #expect(system.files == before && system.log == [])
    }

    @Test(arguments: [ubuntu, "ID=debian\nVERSION_ID=\"12\"\n", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"])
    func `on Debian, Ubuntu and their kin it installs what is missing, by names without versions`(release: String) throws {
        let system = try System(release, installed: ["gunicorn"])
        let result = try system.setup("demo")
        #expect(result.status == 0, "\(result.errors)")
        #expect(system.log.first?.hasSuffix(" update") == true)
        #expect(Set(system.packages) == ["fonts-dejavu-core", "postgresql", "postgresql-common", "python3", "python3-flask", "python3-psycopg2", "python3-redis"])
        // While it installs, services stay down, and PostgreSQL makes no cluster; afterwards all is as it was.
        #expect(!system.log.contains("services may start") && system.log.last == "no cluster", "\(system.log)")
        #expect(system.read("usr/sbin/policy-rc.d") == nil)
        #expect(system.read("etc/postgresql-common/createcluster.conf") == "#create_main_cluster = true\n")
    }

    @Test(arguments: [13, 15, 16, 18]) func `any version of PostgreSQL's server will do`(version: Int) throws {
        let system = try System(Self.ubuntu, installed: ["python3", "gunicorn"], postgresql: version)
        #expect(try system.setup("demo").status == 0)
        #expect(!system.packages.isEmpty && !system.packages.contains { $0.hasPrefix("postgresql") })
    }

    @Test func `it does nothing, and says nothing, when nothing is missing`() throws {
        let missing = try System(Self.ubuntu, postgresql: 16).setup("--check", "build", "demo")
        #expect(missing.status == 1)
        let packages = try #require(missing.errors.firstMatch(of: /setup: missing: (.*)\n/)).1.split(separator: " ").map(String.init)
        #expect(packages.contains("libdeflate-dev") && packages.contains("python3-flask"))
        // These it knows by their programs, which are not among the tools here.
        let system = try System(Self.ubuntu, installed: packages, postgresql: 16)
        try system.linkTools("git", "make")
        for arguments in [["--check", "build", "demo"], ["build", "demo"]] {
            let result = try system.setup(arguments)
            #expect(result.status == 0 && result.text.isEmpty && result.errors.isEmpty, "\(result.errors)")
        }
        #expect(system.log == [])
    }

    @Test func `Ubuntu's missing package of Chromium keeps nothing else from being installed`() throws {
        let system = try System(Self.ubuntu, absent: "chromium")
        let result = try system.setup("test")
        #expect(result.status == 0 && result.errors.contains("There is no package of Chromium here"), "\(result.errors)")
        #expect(system.packages.contains("python3-websockets") && system.packages.contains("redis-server"))
    }

    @Test func `what apt-get cannot install is named, and what was put aside is put back`() throws {
        let system = try System(Self.ubuntu, absent: "python3-flask")
        try system.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n")
        let result = try system.setup("demo")
        #expect(result.status == 1 && result.errors.contains("apt-get did not install:") && result.errors.contains("python3-flask"))
        #expect(system.read("usr/sbin/policy-rc.d") == "#!/bin/sh\nexit 0\n")
        #expect(system.read("etc/postgresql-common/createcluster.conf") == "#create_main_cluster = true\n")
        #expect(!system.files.contains { $0.hasSuffix(".before-headrace") })
    }

    @Test func `what a killed run put aside, the next puts back`() throws {
        let system = try System(Self.ubuntu)
        try system.write("usr/sbin/policy-rc.d", "#!/bin/sh\n# Written by scripts/setup of Headrace, for the time of one installation.\nexit 101\n")
        try system.write("usr/sbin/policy-rc.d.before-headrace", "#!/bin/sh\nexit 7\n")
        #expect(try system.setup("demo").status == 0)
        #expect(system.read("usr/sbin/policy-rc.d") == "#!/bin/sh\nexit 7\n")
        #expect(!system.files.contains { $0.hasSuffix(".before-headrace") })
    }

    @Test(arguments: [("5.10", 1), ("6.1.2", 1), ("6.2", 0), ("6.10", 0)]) func `an old Swift is told from a new one`(version: String, status: Int32) throws {
        let missing = try System(Self.ubuntu).setup("--check", "build")
        let packages = try #require(missing.errors.firstMatch(of: /setup: missing: (.*)\n/)).1.split(separator: " ").map(String.init)
        let system = try System(Self.ubuntu, installed: packages, swift: version)
        try system.linkTools("git", "make")
        let result = try system.setup("build")
        #expect(result.status == status, "\(result.errors)")
        if status == 1 { #expect(result.errors.contains("Swift \(version) is too old")) }
        #expect(system.log == [])
    }
}
