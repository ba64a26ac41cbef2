// swift-tools-version: 6.2
import PackageDescription

// Rules that every target of ours follows. In CI a warning is an error; on a developer's machine it is only a warning,
// so that a half-written thought still runs.
var settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    // `FieldSection` hands out `Span`s of its own bytes; the compiler ties their lifetime to it.
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]
if Context.environment["CI"] != nil {
    settings.append(.treatAllWarnings(as: .error))
}

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

// The codecs are linked statically where Debian ships an archive, so that the release binary needs no package on the
// machine where it runs.
let codecArchives: [LinkerSetting] = [
    .linkedLibrary(":libdeflate.a"),
    .linkedLibrary(":libz.a"),
    .linkedLibrary(":libbrotlienc.a"),
    .linkedLibrary(":libbrotlidec.a"),
    .linkedLibrary(":libbrotlicommon.a"),
    .linkedLibrary(":libzstd.a"),
]

let package = Package(
    name: "headrace",
    products: [
        .executable(name: "headrace", targets: ["headrace"]),
        .library(name: "HeadraceCache", targets: ["HeadraceCache"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        // For the tests alone.
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Floor 0
        .target(name: "Telemetry", swiftSettings: settings),
        // Floor 1
        .target(name: "Eviction", swiftSettings: settings),
        .target(name: "HTTPSemantics", swiftSettings: settings),
        .target(name: "HTTP1Wire", dependencies: ["HTTPSemantics", nioCore], swiftSettings: settings),
        .target(name: "HTTP2Wire", dependencies: ["HTTPSemantics", "HTTP1Wire", nioCore], swiftSettings: settings),
        .target(
            name: "PostgresWire",
            dependencies: [
                nioCore,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ],
            swiftSettings: settings
        ),
        .target(name: "RESPWire", swiftSettings: settings),
        .target(name: "History", dependencies: [.product(name: "GRDB", package: "GRDB.swift")], swiftSettings: settings),
        .target(name: "Transport", dependencies: ["Telemetry", "CEpoll", nioCore, nioPosix, nioSSL, nioTLS, logging], swiftSettings: settings),
        .systemLibrary(name: "CCodecs", providers: [.apt(["libdeflate-dev", "zlib1g-dev", "libbrotli-dev", "libzstd-dev"])]),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CResolver"),
        .systemLibrary(name: "CEpoll"),
        .systemLibrary(name: "CFiles"),
        .systemLibrary(name: "CProcess"),
        .systemLibrary(name: "CProcessor"),
        // Lua 5.1 behind functions that never raise.
        .target(name: "CLua", linkerSettings: [.linkedLibrary(":liblua5.1.a"), .linkedLibrary("m"), .linkedLibrary("dl")]),
        // Floor 2
        .target(
            name: "Edge",
            dependencies: [
                "HTTPSemantics", "HTTP1Wire", "HTTP2Wire", "RESPWire", "Eviction", "Transport", "Telemetry", "CCodecs", "CCrypt", "CFiles", "CResolver", nioCore, nioPosix,
                logging,
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: settings,
            linkerSettings: codecArchives + [.linkedLibrary(":libcrypt.a")]
        ),
        .target(
            name: "Pooler", dependencies: ["PostgresWire", "Transport", "Telemetry", nioCore, nioPosix, nioTLS, logging], swiftSettings: settings),
        .target(
            name: "LoadGenerator",
            dependencies: [
                "HTTPSemantics", "HTTP1Wire", "HTTP2Wire", "PostgresWire", "RESPWire", "Transport", "Telemetry", "CEpoll", nioCore, nioPosix,
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "Keyspace",
            dependencies: [
                "RESPWire", "Eviction", "Transport", "Telemetry", "CFiles", "CLua", "CProcessor", nioCore, nioPosix, logging,
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: settings
        ),
        .target(name: "Dashboard", dependencies: ["History", "Telemetry"], swiftSettings: settings),
        .target(name: "HeadraceCache", dependencies: ["RESPWire", nioCore, nioPosix], swiftSettings: settings),
        // Floor 3
        .executableTarget(
            name: "headrace",
            dependencies: [
                "Edge", "Pooler", "Keyspace", "LoadGenerator", "Dashboard", "History", "HTTP1Wire", "HTTPSemantics", "PostgresWire", "RESPWire", "Transport", "Telemetry",
                "CCodecs", "CProcess", "CResolver", nioCore, nioPosix, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Yams", package: "Yams"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: settings
        ),
        // Tests
        .target(name: "TestSupport", dependencies: ["HTTP2Wire", "HTTPSemantics", nioCore, nioPosix], path: "Tests/TestSupport", swiftSettings: settings),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "EvictionTests", dependencies: ["Eviction", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "HTTPSemanticsTests", dependencies: ["HTTPSemantics", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "HTTP1WireTests",
            dependencies: [
                "HTTP1Wire", "HTTPSemantics", "TestSupport", nioCore,
                // The differential oracle for our parser: llhttp, as NIOHTTP1 wraps it.
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "HTTP2WireTests",
            dependencies: [
                "HTTP2Wire", "HTTP1Wire", "HTTPSemantics", "TestSupport", nioCore,
                // The other opinion on header compression.
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "TransportTests", dependencies: ["Transport", "Telemetry", "TestSupport", nioCore, nioPosix], swiftSettings: settings),
        .testTarget(name: "PostgresWireTests", dependencies: ["PostgresWire", "TestSupport", nioCore], swiftSettings: settings),
        .testTarget(
            name: "PoolerTests", dependencies: ["Pooler", "PostgresWire", "Transport", "TestSupport", nioCore, nioPosix, logging],
            swiftSettings: settings),
        .testTarget(
            name: "EdgeTests",
            dependencies: [
                "Edge", "HTTPSemantics", "HTTP1Wire", "HTTP2Wire", "CCodecs", "CResolver", "Transport", "TestSupport", nioCore, logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "LoadGeneratorTests",
            dependencies: ["LoadGenerator", "HTTP2Wire", "HTTPSemantics", "Telemetry", "Transport", "TestSupport", nioCore, nioPosix, nioSSL], swiftSettings: settings),
        .testTarget(name: "DashboardTests", dependencies: ["Dashboard", "History", "Telemetry", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "HistoryTests", dependencies: ["History", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "RESPWireTests", dependencies: ["RESPWire", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "KeyspaceTests",
            dependencies: [
                "Keyspace", "RESPWire", "Transport", "Telemetry", "TestSupport", nioCore, logging, .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "HeadraceCacheTests", dependencies: ["HeadraceCache", "Keyspace", "TestSupport", nioCore, logging], swiftSettings: settings),
        .testTarget(
            name: "HeadraceTests",
            dependencies: ["headrace", "Dashboard", "Edge", "History", "Keyspace", "LoadGenerator", "Telemetry", "TestSupport", "Transport", logging],
            swiftSettings: settings),
        .testTarget(name: "SimulationTests", dependencies: ["Edge", "HTTPSemantics", "Pooler", "TestSupport", nioCore], swiftSettings: settings),
        .testTarget(
            name: "IntegrationTests", dependencies: ["TestSupport", nioCore, nioPosix, nioSSL, nioTLS, .product(name: "Crypto", package: "swift-crypto")],
            exclude: ["Keyspace/differential.py", "Keyspace/peers.py", "Dashboard/browse.py", "HTTP2Peers", "PoolerPeers"],
            swiftSettings: settings),
        // What must hold for every input, for libFuzzer and for the short fuzz of `make test`.
        .target(
            name: "FuzzChecks", dependencies: ["HTTP1Wire", "HTTP2Wire", "HTTPSemantics", "RESPWire", "PostgresWire", "Edge", "Keyspace", "Pooler", "Dashboard", "Transport", nioCore], path: "Fuzz/Checks",
            swiftSettings: settings),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzChecks", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "TidyTests", swiftSettings: settings),
    ]
)

// Fuzz/run asks for this: what reads bytes from peers, instrumented, and one program with all fuzz targets.
if Context.environment["HEADRACE_FUZZ"] != nil {
    // Optimised, but with every `assert`; gold fails on what the sanitizers emit.
    let fuzzed: [SwiftSetting] = [.unsafeFlags(["-sanitize=fuzzer,address", "-assert-config", "Debug"])]
    for target in package.targets where ["HTTPSemantics", "HTTP1Wire", "HTTP2Wire", "RESPWire", "PostgresWire", "Edge", "Keyspace", "Pooler", "Dashboard", "Transport", "FuzzChecks"].contains(target.name) {
        target.swiftSettings?.append(contentsOf: fuzzed)
        // The checks see what tests see.
        if target.name == "Pooler" { target.swiftSettings?.append(.unsafeFlags(["-enable-testing"])) }
    }
    package.targets.append(
        .executableTarget(
            name: "headrace-fuzz", dependencies: ["FuzzChecks"], path: "Fuzz/Targets",
            swiftSettings: settings + fuzzed, linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]))
    package.products.append(.executable(name: "headrace-fuzz", targets: ["headrace-fuzz"]))
}

// Benchmarks/response-cache asks for this: the cache alone, optimised, with what only tests see.
if Context.environment["HEADRACE_BENCHMARKS"] != nil {
    for target in package.targets where ["Edge", "HTTPSemantics", "Eviction"].contains(target.name) {
        target.swiftSettings?.append(.unsafeFlags(["-enable-testing"]))
    }
    package.targets.append(
        .executableTarget(
            name: "headrace-cache-benchmark", dependencies: ["Edge", "HTTPSemantics", "Eviction", "Telemetry", nioCore], path: "Benchmarks/ResponseCache",
            swiftSettings: settings))
    package.products.append(.executable(name: "headrace-cache-benchmark", targets: ["headrace-cache-benchmark"]))
}
