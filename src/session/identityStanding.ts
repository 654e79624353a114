/** How the bot's device stands to its account's cross-signing identity, and the words for it. Pure. */

export type Standing =
  /** The account's identity signs this device, and its private keys are here or with another session. */
  | { readonly kind: "signed" }
  /** There is none, and none is wanted (`account.create_identity: false`). */
  | { readonly kind: "not_wanted" }
  /** `isReset`: for a new identity; the account has one, which stays in use until then. */
  | { readonly kind: "waiting"; readonly for: Wanted; readonly isReset: boolean }
  | { readonly kind: "unsigned"; readonly why: WhyUnsigned }
  /** The configured recovery key can't be used; `problem` says why, without quoting it. */
  | { readonly kind: "unreadable_key"; readonly problem: string };

/** What the homeserver wants before it takes an identity. */
export type Wanted =
  | { readonly kind: "password" }
  | { readonly kind: "other_password" }
  /** At the authorization server, in a browser. */
  | { readonly kind: "approval"; readonly url: string | null }
  | { readonly kind: "unknown"; readonly stages: readonly string[] };

export type WhyUnsigned =
  | "no_recovery_key"
  | "wrong_recovery_key"
  | "no_secret_storage"
  | "unsupported_secret_storage"
  /** Secret storage has no private keys, or those of another identity. */
  | "secrets_do_not_fit"
  /** No identity, but a secret storage whose key we don't have: to make another would hide what is in it. */
  | "storage_of_others"
  /** The homeserver showed one, and shows none any more. */
  | "identity_vanished"
  /** The homeserver has not (yet) our device's keys. */
  | "device_unknown"
  /** The device was signed, and the homeserver does not show it (yet). */
  | "signature_not_shown";

const EFFECT = "other clients may give the bot no room keys and hide what it says (MSC4153)";
const CREATE = "`docket identity create`";
const RESET = "`docket identity reset --i-know`";
const WAYS_OUT = `Verify it from another session with \`docket identity verify\`, or give the account a new identity with ${RESET}, which ends all trust in the old one.`;

/** @returns one sentence or two for people: what is off, what follows, and what to do; null where all is well or as it was wanted */
export function wordsFor(standing: Standing): string | null {
  switch (standing.kind) {
    case "signed":
    case "not_wanted":
      return null;
    case "waiting":
      return standing.isReset
        ? `The account keeps the identity that it has. ${wantedWords(standing.for, RESET, `Then repeat ${RESET}.`)}`
        : `The account has no cross-signing identity yet: ${EFFECT}. ${wantedWords(standing.for, CREATE, "It is tried again by itself.")}`;
    case "unreadable_key":
      return `The bot's device is not signed by its account: ${EFFECT}. account.recovery_key is no recovery key: ${standing.problem}. Copy it again.`;
    case "unsigned":
      return `The bot's device is not signed by its account: ${EFFECT}. ${whyWords(standing.why)}`;
  }
}

/** @param command that asks for what is missing; @param next what comes after an approval */
function wantedWords(wanted: Wanted, command: string, next: string): string {
  switch (wanted.kind) {
    case "password":
      return `The homeserver asks for the account's password: put it into account.password, which counts from the next start on, or run ${command} on a terminal.`;
    case "other_password":
      return `The homeserver does not accept the account's password: correct account.password, which counts from the next start on, or run ${command} on a terminal.`;
    case "approval":
      return wanted.url === null
        ? `The homeserver wants the account's owner to approve it at the account's authorization server: sign in there in a browser, and allow the cross-signing reset. ${next}`
        : `The homeserver wants the account's owner to approve it in a browser: open ${wanted.url}, sign in as the bot, and allow the cross-signing reset. ${next}`;
    case "unknown":
      return "The homeserver wants a kind of confirmation that Docket can't give: set up cross-signing with another client, and give Docket its recovery key in account.recovery_key.";
  }
}

function whyWords(why: WhyUnsigned): string {
  switch (why) {
    case "no_recovery_key":
      return `The account has an identity already, and its recovery key is not in account.recovery_key. With it there, the device is signed at the next start; or ${CREATE} asks for it on a terminal. ${WAYS_OUT}`;
    case "wrong_recovery_key":
      return `account.recovery_key is not the key of the account's secret storage. Put the right one there, or have ${CREATE} ask for it on a terminal. ${WAYS_OUT}`;
    case "no_secret_storage":
      return `The account has an identity, but no secret storage that its keys could be taken from. ${WAYS_OUT}`;
    case "unsupported_secret_storage":
      return `The account's secret storage is of a kind that Docket does not know. ${WAYS_OUT}`;
    case "secrets_do_not_fit":
      return `The account's secret storage does not have the keys of its present identity. ${WAYS_OUT}`;
    case "storage_of_others":
      return "The account has no identity, but a secret storage: with its recovery key in account.recovery_key an identity is made in it; without, `docket identity reset --i-know` makes both anew.";
    case "identity_vanished":
      return "The homeserver had an identity of the account, and shows none any more, so none is made. If it is really gone, `docket identity reset --i-know` makes a new one.";
    case "device_unknown":
      return "The homeserver does not have the device's keys yet; it is tried again by itself.";
    case "signature_not_shown":
      return "The homeserver does not show the device's signature yet; it is tried again by itself.";
  }
}
