import CLua
import Telemetry

/// Lua, and the scripts that it has compiled. One for the whole keyspace: a script holds all shards, so no two ever run at once.
///
/// What must not jump over a frame of Swift stays in the C target `CLua`; see its header. Scripts that came with `EVAL` are kept for
/// `EVALSHA`, so many and no more: the one that was compiled first goes first. Those of `SCRIPT LOAD` stay, within a bound of bytes.
///
/// `@unchecked Sendable`: `lua` never changes, and all that is called with it but `headrace_lua_interrupt`, which any thread may call, is
/// called with `cache` locked.
final class ScriptInterpreter: @unchecked Sendable {
    /// Scripts of `EVAL` that are kept; Redis 7.4 has the same bound.
    static let evaluatedCountMax = 500
    /// Of the source text of all scripts that were loaded.
    static let loadedBytesMax = 16 << 20
    /// Memory of all of Lua.
    static let bytesMax = 64 << 20
    /// Of one script's reply.
    static let replyBytesMax = 512 << 20

    struct Script {
        fileprivate var number: Int32
        /// 40 hexadecimal digits in lower case.
        var digest: [UInt8]
        /// It says of itself that it only reads (`#!lua flags=no-writes`).
        var isReadOnly: Bool
        fileprivate var isLoaded: Bool
        fileprivate var byteCount: Int
    }

    private struct Cache {
        var scripts: [[UInt8]: Script] = [:]
        /// Digests of scripts that came with `EVAL`, in the order in which they were compiled.
        var evaluated: [[UInt8]] = []
        var loadedBytes = 0
        /// Of all of them.
        var sourceBytes = 0
    }

    private let lua: OpaquePointer?
    private let cache = Lock(Cache())
    private let isRunning = Lock(false)

    init() {
        lua = headrace_lua_create(Self.bytesMax)
    }

    deinit { headrace_lua_destroy(lua) }

    static func digest(_ source: UnsafeRawBufferPointer) -> [UInt8] {
        var digits = [CChar](repeating: 0, count: 41)
        headrace_sha1_hex(source.baseAddress, source.count, &digits)
        return digits.prefix(40).map { UInt8(bitPattern: $0) }
    }

    /// Numbers for `INFO`, as they were after the last script. Not asked of the cache: a script that calls `INFO` holds its lock.
    struct Figures: Sendable {
        /// What Lua has.
        var bytes = 0
        /// Of the scripts' own texts.
        var sourceBytes = 0
        var scriptCount = 0
    }

    private let figuresBox = Lock(Figures())
    var figures: Figures { figuresBox.withLock { $0 } }

    private func note(_ cache: Cache) {
        let figures = Figures(
            bytes: lua.map { headrace_lua_bytes($0) } ?? 0, sourceBytes: cache.sourceBytes,
            scriptCount: cache.scripts.count)
        figuresBox.withLock { $0 = figures }
    }

    func contains(_ digest: [UInt8]) -> Bool { cache.withLock { $0.scripts[digest] != nil } }

    /// The script of a digest in any case.
    func script(_ digest: UnsafeRawBufferPointer) -> Script? {
        let lowercase = digest.map { CommandTable.lowercase($0) }
        return cache.withLock { $0.scripts[lowercase] }
    }

    /// Compiles a script, unless it is known.
    /// - Parameter isLoaded: whether it came with `SCRIPT LOAD`, and stays.
    func compile(_ source: UnsafeRawBufferPointer, isLoaded: Bool) throws(CommandFailure) -> Script {
        let digest = Self.digest(source)
        let result = cache.withLock { cache -> Result<Script, CommandFailure> in
            do throws(CommandFailure) { return .success(try compile(source, digest, isLoaded, &cache)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func compile(
        _ source: UnsafeRawBufferPointer, _ digest: [UInt8], _ isLoaded: Bool, _ cache: inout Cache
    ) throws(CommandFailure) -> Script {
        if var known = cache.scripts[digest] {
            if isLoaded, !known.isLoaded {
                guard cache.loadedBytes + source.count <= Self.loadedBytesMax else { throw Self.tooManyScripts }
                known.isLoaded = true
                cache.loadedBytes += source.count
                cache.evaluated.removeAll { $0 == digest }
                cache.scripts[digest] = known
            }
            return known
        }
        guard let lua else { throw .err("there was no memory for Lua") }
        if isLoaded, cache.loadedBytes + source.count > Self.loadedBytesMax { throw Self.tooManyScripts }
        let (text, isReadOnly) = try Self.withoutShebang(source)
        var reason = headrace_buffer(bytes: nil, count: 0, capacity: 0, count_max: 4096, failed: 0)
        defer { headrace_buffer_free(&reason) }
        let number = headrace_lua_compile(lua, text.baseAddress?.assumingMemoryBound(to: CChar.self), text.count, &reason)
        guard number != 0 else {
            let words = String(decoding: UnsafeRawBufferPointer(start: reason.bytes, count: reason.count), as: UTF8.self)
            throw .err("Error compiling script (new function): \(words)")
        }
        let script = Script(number: number, digest: digest, isReadOnly: isReadOnly, isLoaded: isLoaded, byteCount: source.count)
        cache.scripts[digest] = script
        cache.sourceBytes += source.count
        defer { note(cache) }
        if isLoaded {
            cache.loadedBytes += source.count
        } else {
            cache.evaluated.append(digest)
            if cache.evaluated.count > Self.evaluatedCountMax {
                let first = cache.evaluated.removeFirst()
                if let old = cache.scripts.removeValue(forKey: first) {
                    headrace_lua_forget(lua, old.number)
                    cache.sourceBytes -= old.byteCount
                }
            }
        }
        return script
    }

    private static let tooManyScripts = CommandFailure.err("the scripts that were loaded take more than they may: SCRIPT FLUSH")

    /// `#!lua flags=no-writes` in the first line says what the script is. The line's end stays, so that lines keep their numbers.
    private static func withoutShebang(
        _ source: UnsafeRawBufferPointer
    ) throws(CommandFailure) -> (text: UnsafeRawBufferPointer, isReadOnly: Bool) {
        guard source.starts(with: "#!".utf8) else { return (source, false) }
        guard let end = source.firstIndex(of: 0x0A) else { throw .err("Invalid script shebang") }
        let words = String(decoding: source[2..<end], as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.first == "lua" else {
            throw .err("Unexpected engine in script shebang: #!\(words.first.map(String.init) ?? "")")
        }
        var isReadOnly = false
        for word in words.dropFirst() {
            guard word.hasPrefix("flags=") else { throw .err("Unknown lua shebang option: \(word)") }
            for flag in word.dropFirst(6).split(separator: ",") {
                switch flag {
                case "no-writes": isReadOnly = true
                case "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys": break
                default: throw .err("Unexpected flag in script shebang: \(flag)")
                }
            }
        }
        return (UnsafeRawBufferPointer(rebasing: source[end...]), isReadOnly)
    }

    /// `SCRIPT FLUSH`: also what scripts have set of `cjson` is as it was at first.
    func flush() {
        cache.withLock { cache in
            if let lua {
                for script in cache.scripts.values { headrace_lua_forget(lua, script.number) }
                headrace_lua_restore(lua)
            }
            cache = Cache()
            note(cache)
        }
    }

    // MARK: Running

    /// Runs a script; the call holds all shards. The reply, or the error, is written to ``Call/out``.
    /// - Parameters:
    ///   - source: of one that came with `EVAL`, and runs also when it was forgotten since it was compiled.
    ///   - keys: places of the keys; all arguments behind them are `ARGV`.
    func run(_ script: Script, source: UnsafeRawBufferPointer?, _ call: Call, keys: Range<Int>, isReadOnly: Bool, milliseconds: Int) {
        cache.withLock { cache in
            // It may have been forgotten since it was looked up, or compiled anew: its number may be another's now.
            var known = cache.scripts[script.digest]
            if known == nil, let source { known = try? compile(source, script.digest, false, &cache) }
            guard let lua, let script = known else { return call.out.error(CommandFailure.noScript.text) }
            isRunning.withLock { isRunning in
                headrace_lua_uninterrupt(lua)
                isRunning = true
            }
            run(lua, script, call, keys: keys, isReadOnly: isReadOnly, milliseconds: milliseconds)
            isRunning.withLock { $0 = false }
            figuresBox.withLock { $0.bytes = headrace_lua_bytes(lua) }
        }
    }

    private func run(_ lua: OpaquePointer, _ script: Script, _ call: Call, keys: Range<Int>, isReadOnly: Bool, milliseconds: Int) {
        func slices(_ places: Range<Int>) -> [headrace_slice] {
            places.map { headrace_slice(bytes: call[$0].baseAddress?.assumingMemoryBound(to: CChar.self), count: call[$0].count) }
        }
        let keySlices = slices(keys)
        let argumentSlices = slices(keys.upperBound..<call.count)
        let digest = script.digest.map { CChar(bitPattern: $0) } + [0]
        let commands = ScriptCommands(call, isReadOnly: isReadOnly || script.isReadOnly)
        var reply = headrace_buffer(bytes: nil, count: 0, capacity: 0, count_max: Self.replyBytesMax, failed: 0)
        defer { headrace_buffer_free(&reply) }
        keySlices.withUnsafeBufferPointer { keys in
            argumentSlices.withUnsafeBufferPointer { arguments in
                digest.withUnsafeBufferPointer { digest in
                    withExtendedLifetime(commands) {
                        var options = headrace_lua_run_options(
                            keys: keys.baseAddress, key_count: keys.count, arguments: arguments.baseAddress,
                            argument_count: arguments.count, digest: digest.baseAddress, resp: call.session.isRESP3 ? 3 : 2,
                            milliseconds_max: UInt64(max(milliseconds, 1)),
                            command: { context, words, count, resp, reply in
                                guard let context, let words, let reply else { return }
                                Unmanaged<ScriptCommands>.fromOpaque(context).takeUnretainedValue()
                                    .execute(UnsafeBufferPointer(start: words, count: count), isRESP3: resp == 3, reply)
                            },
                            allows: { context, words, count in
                                guard let context, let words else { return -1 }
                                let allows = Unmanaged<ScriptCommands>.fromOpaque(context).takeUnretainedValue()
                                    .allows(UnsafeBufferPointer(start: words, count: count))
                                return allows.map { $0 ? 1 : 0 } ?? -1
                            },
                            log: { context, level, text, count in
                                guard let context else { return }
                                let line = String(decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self)
                                Unmanaged<ScriptCommands>.fromOpaque(context).takeUnretainedValue().log(Int(level), line)
                            },
                            context: Unmanaged.passUnretained(commands).toOpaque())
                        headrace_lua_run(lua, script.number, &options, &reply)
                    }
                }
            }
        }
        call.out.raw(UnsafeRawBufferPointer(start: reply.bytes, count: reply.count))
        call.readyKeys += commands.readyKeys
        call.effects += commands.effects
    }

    /// `SCRIPT KILL`.
    /// - Returns: `false` when no script is running.
    func interrupt() -> Bool {
        isRunning.withLock { isRunning in
            if isRunning, let lua { headrace_lua_interrupt(lua) }
            return isRunning
        }
    }
}
