import NIOCore
import Testing

@testable import Pooler

@Suite struct ConsoleSettingTests {
    private func set(_ name: String, _ text: String) -> String {
        var configuration = PoolerConfiguration()
        do {
            try ConsoleSetting.set(name, to: text, in: &configuration)
            return ConsoleSetting.all.first { $0.name == name }?.value(in: configuration) ?? "-"
        } catch {
            return error.sqlState
        }
    }

    @Test(arguments: [
        ("default_pool_size", "1", "1"), ("default_pool_size", "10000", "10000"), ("default_pool_size", "0", "22023"), ("default_pool_size", "10001", "22023"),
        ("default_pool_size", "99999999999999999999", "22023"), ("default_pool_size", "1.5", "22023"), ("default_pool_size", "", "22023"),
        ("query_timeout", "0", "0"), ("query_timeout", "2592000", "2592000"), ("query_timeout", "2592000.1", "22023"), ("query_timeout", "0.25", "0.25"),
        ("query_timeout", "-1", "22023"), ("query_timeout", "nan", "22023"), ("query_timeout", "inf", "22023"), ("query_timeout", "1e300", "22023"),
        ("query_timeout", "5s", "22023"), ("query_wait_timeout", "0", "22023"), ("client_login_timeout", "0.1", "0.1"), ("client_login_timeout", "0.09", "22023"),
        ("pool_mode", "session", "55P02"), ("auth_type", "md5", "55P02"), ("listen_port", "1", "42704"), ("", "", "42704"),
    ])
    func `a setting takes what is in its range`(name: String, text: String, result: String) {
        #expect(set(name, text) == result)
    }

    @Test func `all are listed in order, once, and what is shown can be set`() {
        let names = ConsoleSetting.all.map(\.name)
        #expect(names == Set(names).sorted())
        for setting in ConsoleSetting.all where setting.isChangeable {
            let standard = setting.value(in: PoolerConfiguration())
            #expect(set(setting.name, standard) == standard)
        }
    }
}
