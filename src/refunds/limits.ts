/** Times and limits of design.md 5, as literals. The ones an operator may set stricter are in config. */

/** Gaps between the queries of one refund; the last one repeats for ever. */
export const QUERY_GAPS_SECONDS = [10, 30, 60, 300, 900, 1800, 3600, 21_600] as const;
/** A refund that was sent and is rejected or canceled is asked for twice more. */
export const AFTERMATH_GAPS_SECONDS = [3600, 86_400] as const;
/** A failed one of these two is asked again after this. */
export const AFTERMATH_RETRY_SECONDS = 300;
/** At most one query per refund in this time, whoever asks. */
export const QUERY_SPACING_SECONDS = 10;
/** Waits after a request that was never written; the last one repeats. */
export const NOT_SENT_WAITS_SECONDS = [10, 60, 300] as const;
/** Wait after WeChat said "later". */
export const LATER_WAIT_SECONDS = 60;
/** Wait after NOTENOUGH: a top-up is a person's work. */
export const BALANCE_WAIT_SECONDS = 3600;
/** How long a claim holds a refund; past it the outcome is unknown. Longer than the whole-call deadline of 15 s. */
export const LEASE_SECONDS = 60;
/** "Not found" ends a doubt only when WeChat was asked this long after the send: a request cannot linger longer. */
export const DOUBT_SECONDS = 1200;
/** Sends that ended later or unknown before a person has to look. */
export const ATTEMPTS_MAX = 10;
/** A refund WeChat accepted and does not find any more is an incident after this time. */
export const LOST_ACCEPTED_SECONDS = 86_400;
/** Configuration answers in a row that pause a merchant. */
export const CONFIGURATION_FAILURES_MAX = 3;
/** A refund WeChat has been working on for this long needs a person's eye (faults.md W22): three working days. */
export const LONG_ACCEPTED_SECONDS = 259_200;
/** One probe of a paused merchant in this time. */
export const PROBE_GAP_SECONDS = 300;
/** Send slots handed out by one claim. */
export const SLOTS_PER_CLAIM_MAX = 15;
/** A slot may be used this long after its time, no longer. */
export const SLOT_TOLERANCE_MS = 20;
/** A slot lies at most this far behind the claim that took it, tolerance included. */
export const SLOT_AHEAD_SECONDS = 0.6;
/** The code of a send that came too late for its slot and wrote nothing. */
export const SLOT_MISSED = 'slot_missed';
/** Query slots of a merchant. */
export const QUERIES_PER_SECOND = 100;
/** How long `sync` and `resolve` wait for a live lease and the query spacing. */
export const SYNC_WAIT_SECONDS = 15;
