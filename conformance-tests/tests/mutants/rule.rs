//! The rules that the model can break.

/// The rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// None is.
    Sound,
    // Who has room.
    EverybodyHasRoom,
    QueueIgnored,
    SkipPassesTheQueue,
    LastComeFirstServed,
    ReadersPassWaitingWriters,
    WaitersForSeveralKeysIgnored,
    OneFreeKeyIsEnough,
    OwnLimitCounts,
    LargestLimitCounts,
    // What a look leaves.
    RefusedSkipKeepsFreeKeys,
    QueuedOnFullKeysOnly,
    RefusalLengthensTheHolder,
    RefusalShortensTheHolder,
    LookTakesANewPlace,
    LookKeepsNoPlace,
    LookKeepsNothingAndSaysItDoes,
    EveryLookIsANewToken,
    HolderAskingAgainIsRefused,
    // What lapses.
    NothingLapses,
    PlacesNeverLapse,
    GrantsNeverLapse,
    LapsedAskerFindsItsPlace,
    RenewRevivesTheLapsed,
    ReleaseOfTheLapsedIsHeld,
    RenewShortens,
    RenewChangesTheToken,
    RenewKeepsNoPlace,
    // What a release leaves.
    AnyoneReleases,
    ReleaseEmptiesTheKeys,
    LateReleaseFreesTheSuccessor,
    ReleaseLeavesThePlace,
    ReleaseForgetsAKey,
    RemnantIsExclusive,
    RemnantGoesLast,
    RemnantHasItsOwner,
    RemnantOfAPlaceIsNotKept,
    // Who is rung, and when to look.
    NobodyIsRung,
    OneIsRung,
    AllBehindAreRung,
    NobodyIsRungForAPlace,
    NobodyIsRungOnKeep,
    RemnantsHideTurns,
    OneKeyIsRung,
    OwnClientIsRung,
    EarlyRingIsMissed,
    SecondRingIsMissed,
    RetryAfterTheOwnTtl,
    RetryAfterTheLastLapse,
    RetryAfterTheEnds,
}
