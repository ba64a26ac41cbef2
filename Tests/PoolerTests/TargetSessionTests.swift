import Testing

@testable import Pooler

/// PostgreSQL 15, "Parameter Key Words", target_session_attrs.
@Suite struct TargetSessionTests {
    private static let primary = ["in_hot_standby": "off", "default_transaction_read_only": "off"]
    private static let readOnlyPrimary = ["in_hot_standby": "off", "default_transaction_read_only": "on"]
    private static let standby = ["in_hot_standby": "on", "default_transaction_read_only": "off"]

    @Test(arguments: [
        (.any, [true, true, true]), (.readWrite, [true, false, false]), (.readOnly, [false, true, true]), (.primary, [true, true, false]),
        (.standby, [false, false, true]), (.preferStandby, [false, false, true]),
    ] as [(TargetSession, [Bool])])
    func `a server is what it says of itself`(target: TargetSession, expected: [Bool]) {
        let answers = [Self.primary, Self.readOnlyPrimary, Self.standby].map { target.accepts($0, isSecondRound: false) }
        #expect(answers == expected)
        #expect(target.accepts([:], isSecondRound: false), "a server that does not say is taken as it is")
    }

    @Test func `without a standby any server will do, in the second round`() {
        #expect(TargetSession.preferStandby.rounds == 2)
        #expect(TargetSession.preferStandby.accepts(Self.primary, isSecondRound: true))
        #expect(!TargetSession.standby.accepts(Self.primary, isSecondRound: true))
    }

    @Test func `a standby that is promoted is no standby any more`() {
        #expect(TargetSession.standby.keeps(Self.standby) && !TargetSession.standby.keeps(Self.primary))
        #expect(!TargetSession.primary.keeps(Self.standby) && TargetSession.any.keeps(Self.standby))
    }
}
