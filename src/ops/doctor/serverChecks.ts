/** Checks of the homeserver and of the account there. */
import type { Config } from "../../config/config.ts";
import type { Greeting } from "../../matrix/homeserver.ts";
import { profilePath } from "../../matrix/profiles.ts";
import { capabilityField } from "../../protocol/capabilities.ts";
import { receiptSupport } from "../../protocol/receipts.ts";
import { configFileOf, ifKnown, sentence, withConfig, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";
import { off, ok, unknown, warning, wrong, type Verdict } from "./finding.ts";

/** A clock that is off by this much takes a part of each lifetime away. */
const SKEW_WORTH_SAYING_MS = 2_000;
/** And by this much, so much that short lifetimes are over when they come. */
const SKEW_TOO_LARGE_MS = 10_000;
/** A `Date` header has whole seconds. */
const DATE_STEP_MS = 1_000;

export const serverChecks: readonly Check[] = [
  { name: "homeserver", judge: withConfig(judgeHomeserver) },
  { name: "clock", judge: (facts) => ifKnown(facts, facts.server.greeting, judgeClock) },
  { name: "token", judge: withConfig(judgeToken) },
  { name: "receipts", judge: withConfig(judgeReceipts) },
  { name: "capabilities", judge: withConfig(judgeCapabilities) },
];

function judgeHomeserver({ server: { greeting } }: Facts, { homeserver }: Config): Verdict {
  if (greeting.kind === "not_asked") return unknown(greeting.why);
  if (greeting.kind === "failed")
    return wrong(
      `${homeserver} gives no usable answer: ${sentence(greeting.failure)}`,
      "Look at the homeserver, at homeserver in the configuration, and at the network and the proxies between.",
    );
  const newest = greeting.value.versions.versions.at(-1)?.slice(0, 20);
  return ok(`${homeserver} answers (${newest === undefined ? "no version of the specification" : `up to ${newest}`}).`);
}

/**
 * The server's clock stood somewhere in the second that its date names, when ours stood somewhere between the request and the reply:
 * only a difference that no point of these two spans explains is one.
 */
function judgeClock({ date, sentAt, receivedAt }: Greeting): Verdict {
  if (date === null) return unknown("The homeserver's replies do not say what time it is there.");
  const atLeastAhead = sentAt - (date + DATE_STEP_MS);
  const atLeastBehind = date - receivedAt;
  const skewMs = Math.max(atLeastAhead, atLeastBehind);
  if (skewMs < SKEW_WORTH_SAYING_MS) return ok("This machine and the homeserver agree about the time.");
  const isAhead = atLeastAhead > atLeastBehind;
  const found = isAhead
    ? `This machine's clock is ${seconds(skewMs)} or more ahead of the homeserver's: requests look older than they are, and expire early.`
    : `This machine's clock is ${seconds(skewMs)} or more behind the homeserver's: answers may go out when nobody waits for them any more.`;
  const advice = "Set both clocks by NTP; `timedatectl` shows whether this machine's is.";
  return skewMs < SKEW_TOO_LARGE_MS ? warning(found, advice) : wrong(found, advice);
}

function seconds(ms: number): string {
  return `${Math.floor(ms / 1000)} s`;
}

const SAME_DEVICE = "as the same device, as long as the homeserver has it; the command says if not, and what then";

function judgeToken(facts: Facts, { account }: Config): Verdict {
  const { whoami } = facts.server;
  const signIn = { command: `docket login --config ${configFileOf(facts.configuration)}` };
  if (whoami.kind === "failed" && whoami.failure.tokenRefused && facts.renewable)
    return unknown(
      "The access token in the data directory is over. The bot exchanges it for a new one when it starts, which this command does not.",
      "Start the bot, and ask again.",
    );
  if (whoami.kind === "failed" && whoami.failure.tokenRefused)
    return wrong(
      "The homeserver does not accept the access token.",
      account.token === null
        ? `Sign in again: ${SAME_DEVICE}.`
        : `Put a good token of the same device into account.token; or remove account.token and sign in again: ${SAME_DEVICE}.`,
      signIn,
    );
  if (whoami.kind === "failed" && whoami.failure.code === "CONFIG")
    return wrong(
      `There is no access token to use: ${sentence(whoami.failure)}`,
      "Sign in, or set account.token.",
      signIn,
    );
  return ifKnown(facts, whoami, ({ userId, deviceId }) => {
    if (userId !== account.user)
      return wrong(
        `The access token is for ${userId}, and account.user is ${account.user}.`,
        "Use a token of that account, or correct account.user.",
      );
    if (deviceId === null)
      return wrong(
        "The access token belongs to no device, so nobody can encrypt for the bot.",
        "Use a token from a login with a password, which makes a device.",
      );
    return ok(`The access token is for ${userId}, device ${deviceId}.`);
  });
}

function judgeReceipts(facts: Facts, { receipts }: Config): Verdict {
  if (receipts.rooms === "none") return off("The configuration wants no delivery receipts.");
  return ifKnown(facts, facts.server.greeting, ({ versions }) =>
    receiptSupport(versions) === "none"
      ? off("The homeserver does not support delivery receipts (MSC4089): none are sent, and all else works.")
      : ok("The homeserver supports delivery receipts (MSC4089)."),
  );
}

function judgeCapabilities(facts: Facts, { capabilities }: Config): Verdict {
  const { bot, server } = facts;
  const note = bot.kind === "running" ? bot.noted.get("capabilities") : undefined;
  if (!capabilities.advertise) return off(note ?? "The configuration wants nothing in the profile.");
  return ifKnown(facts, server.whoami, ({ userId, deviceId }) => {
    const field = deviceId === null ? null : capabilityField(deviceId);
    if (field === null)
      return off(
        `The device ID ${deviceId ?? ""} does not fit into the profile: what the bot understands is told only to those who ask it.`,
        "A device with a lower-case ID would fit.",
      );
    return ifKnown(facts, server.greeting, ({ versions }) => {
      if (profilePath(versions, userId, field) === null)
        return off("The homeserver has no profile fields (MSC4133): the bot tells what it understands when asked.");
      if (note !== undefined)
        return warning(`The bot has noted: ${note}.`, "Look at the homeserver; the bot tries again.");
      return ifKnown(facts, server.advertised, (isThere) =>
        isThere
          ? ok("The profile says what the bot understands (MSC4401).")
          : warning("The profile does not say what the bot understands.", "The bot puts it there when it starts."),
      );
    });
  });
}
