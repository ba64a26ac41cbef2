import Testing

@testable import HTTPSemantics

@Suite struct CacheControlTests {
    private func read(_ values: String...) -> CacheControl {
        var fields = FieldSection()
        for value in values { fields.append("Cache-Control", value) }
        return CacheControl(fields)
    }

    private func directives(_ change: (inout CacheControl) -> Void) -> CacheControl {
        var value = CacheControl()
        change(&value)
        return value
    }

    @Test func `every directive is read, by its own name only`() {
        let flags: [(String, WritableKeyPath<CacheControl, Bool>)] = [
            ("no-store", \.noStore), ("no-cache", \.noCache), ("private", \.isPrivate), ("public", \.isPublic),
            ("must-revalidate", \.mustRevalidate), ("proxy-revalidate", \.proxyRevalidate),
            ("must-understand", \.mustUnderstand),
            ("no-transform", \.noTransform), ("only-if-cached", \.onlyIfCached), ("immutable", \.immutable),
        ]
        for (name, path) in flags {
            let expected = directives { $0[keyPath: path] = true }
            #expect(read(name) == expected)
            #expect(read(name.uppercased()) == expected)
            #expect(
                read("x" + name) == CacheControl() && read(name + "x") == CacheControl()
                    && read(String(name.dropLast())) == CacheControl())
        }
        let numbers: [(String, WritableKeyPath<CacheControl, Int?>)] = [
            ("max-age", \.maxAge), ("s-maxage", \.sMaxAge), ("stale-while-revalidate", \.staleWhileRevalidate),
            ("stale-if-error", \.staleIfError), ("min-fresh", \.minFresh), ("max-stale", \.maxStale),
        ]
        for (name, path) in numbers {
            let expected = directives { $0[keyPath: path] = 7 }
            #expect(read(name + "=7") == expected)
            #expect(read(name.uppercased() + "=\"7\"") == expected)
            #expect(read("x" + name + "=7") == CacheControl() && read(String(name.dropLast()) + "=7") == CacheControl())
        }
    }

    /// As they occur in the wild.
    @Test func `lists come in all shapes`() {
        let expected = directives {
            $0.isPublic = true
            $0.maxAge = 60
        }
        #expect(read("public, max-age=60") == expected)
        #expect(read("public,max-age=60") == expected)
        #expect(read("Public,\tMAX-AGE=60 ,") == expected)
        #expect(read(",, max-age=60 , ,public") == expected)
        #expect(read("max-age=60", "public") == expected)
        #expect(read("public, max-age=60, unknown, other=5, third=\"a, no-store\"") == expected)
        #expect(read("public, max-age=60, x=\"\\\", no-store\"") == expected)
        #expect(read("") == CacheControl() && read(",") == CacheControl() && read(" ") == CacheControl())
    }

    @Test(
        arguments: [
            ("max-age=0", 0), ("max-age=31536000", 31_536_000), ("max-age=\"60\"", 60), ("max-age=2147483648", 1 << 31),
            // RFC 9111 §1.2.2: too large is 2³¹.
            ("max-age=2147483649", 1 << 31), ("max-age=99999999999999999999999999", 1 << 31),
            // No number, negative, or with junk behind it: stale.
            ("max-age", 0), ("max-age=", 0), ("max-age=-1", 0), ("max-age=+5", 0), ("max-age=5s", 0), ("max-age=5.5", 0),
            ("max-age= 5", 0), ("max-age =5", 0),
            ("max-age='5'", 0), ("max-age=\"5", 0), ("max-age=\"\"", 0), ("max-age=\"", 0), ("max-age=5;x", 0),
            ("max-age=0x10", 0), ("max-age=1e3", 0),
            // Of several the smallest counts.
            ("max-age=60, max-age=10", 10), ("max-age=10, max-age=60", 10), ("max-age=60, max-age=x", 0),
        ] as [(String, Int)])
    func `a lifetime is seconds, and stale when in doubt`(value: String, seconds: Int) {
        #expect(read(value).maxAge == seconds)
    }

    @Test func `RFC 9111 §5.2.2.4, §5.2.2.7: quoted field names restrict those fields, anything else the whole response`() {
        let named = read("private=\"Set-Cookie\", max-age=5")
        #expect(named.namesFields && !named.isPrivate && named.maxAge == 5)
        #expect(read("no-cache=\"Set-Cookie, X\"").namesFields && !read("no-cache=\"Set-Cookie, X\"").noCache)
        for value in ["private", "private=\"\"", "private=\",\"", "private=Set-Cookie", "private=\"a b\"", "private=", "private=\"X\", private"] {
            #expect(read(value).isPrivate, "\(value)")
        }
        #expect(read("no-cache=Set-Cookie").noCache && read("no-cache=\"X\", no-cache").noCache)
        // A restriction with junk behind it was meant as one.
        #expect(read("no-store;x").noStore)
    }

    @Test func `the fields that are withheld are named in any case, on any line`() {
        var fields = FieldSection()
        fields.append("Cache-Control", "private=\"X-Secret, set-cookie\", max-age=60")
        fields.append("Cache-Control", "No-Cache=\"ETAG\"")
        let withheld = WithheldFields(fields, CacheControl(fields))
        #expect(withheld.names.map { String(decoding: $0, as: UTF8.self) } == ["x-secret", "set-cookie", "etag"])
        #expect(withheld.contains(Array("X-SECRET".utf8).span) && !withheld.contains(Array("X-Secre".utf8).span))
        #expect(WithheldFields(fields, CacheControl()).isEmpty)
    }

    @Test(arguments: ["max-age=60, x=\"no-store", "x=\", max-age=60, private", "max-age=60, x=\"a\\\"", "\""])
    func `behind a quote that does not end may be anything: nothing is stored`(value: String) {
        #expect(read(value).noStore)
    }

    @Test func `max-stale without an argument is any staleness`() {
        #expect(read("max-stale").maxStale == .max)
        #expect(read("max-stale=x").maxStale == 0)
        #expect(read("min-fresh").minFresh == nil)
    }

    @Test func `the field is chosen by its name`() {
        var fields = FieldSection()
        fields.append("Cache-Control", "no-store")
        fields.append("CDN-Cache-Control", "max-age=5")
        #expect(CacheControl(fields, .cdnCacheControl) == directives { $0.maxAge = 5 })
        #expect(CacheControl(fields) == directives { $0.noStore = true })
    }

    @Test func `a value of many empty members or quotes is read in one pass`() {
        let elapsed = ContinuousClock().measure {
            for member in [",", "\"", "\\\"", "a,", "\"\\\"\","] {
                _ = read(String(repeating: member, count: 32_000 / member.utf8.count))
            }
        }
        #expect(elapsed < .seconds(5))
    }
}
