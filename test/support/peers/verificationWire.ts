/** Orders about interactive verification by short authentication strings (SAS). matrix-js-sdk alone. */

/** An emoji and its name in English. */
export type Emoji = readonly [symbol: string, name: string];

export interface VerificationOrders {
  /**
   * Asks to verify a device (messages to devices), or with a room instead a user (messages in that room). The result names the
   * verification in all other orders.
   */
  readonly requestVerification: {
    readonly order:
      { readonly userId: string; readonly deviceId: string } | { readonly userId: string; readonly roomId: string };
    readonly result: string;
  };
  /** The answer comes with the next request from that user which no order has asked for yet. Nothing is accepted by that. */
  readonly incomingVerification: {
    readonly order: { readonly userId: string };
    readonly result: {
      readonly verification: string;
      readonly deviceId: string | null;
      readonly roomId: string | null;
    };
  };
  readonly acceptVerification: { readonly order: { readonly verification: string }; readonly result: null };
  /** Waits until the other side is ready, begins with SAS if `start` (or else lets the other side begin), and waits for what to compare. */
  readonly sas: {
    readonly order: { readonly verification: string; readonly start: boolean };
    readonly result: { readonly emoji: readonly Emoji[]; readonly decimals: readonly number[] };
  };
  /** After `sas`: they match, they don't, or the verification is given up (at any time). */
  readonly answerSas: {
    readonly order: { readonly verification: string; readonly answer: "match" | "mismatch" | "cancel" };
    readonly result: null;
  };
  /** The answer comes at the end: null when both are verified, or else the code of the cancellation and who cancelled. */
  readonly verificationResult: {
    readonly order: { readonly verification: string };
    readonly result: { readonly code: string; readonly by: string } | null;
  };
}
