/** Checks of the way of the messages: what waits, what can't be read, what was lost, and whether the homeserver limits the bot. */
import type { Config } from "../../config/config.ts";
import type { Census, Counted } from "../../journal/census.ts";
import { fromJournal, sentence, several, span, withConfig, type Check } from "./check.ts";
import type { Facts, Failure, LimitOverride } from "./facts.ts";
import { ok, unknown, warning, wrong, type Verdict } from "./finding.ts";

/** A running bot takes an event up at once. */
const LONG_WAIT_MS = 60_000;
const NEARLY_FULL = 0.8;

export const messageChecks: readonly Check[] = [
  {
    name: "inbox",
    judge: withConfig((facts, config) => fromJournal((census) => judgeInbox(census, facts, config))(facts)),
  },
  { name: "undecryptable", judge: fromJournal((census, { at }) => judgeParked(census, at)) },
  { name: "gaps", judge: fromJournal(({ gaps }) => judgeGaps(gaps)) },
  { name: "outbox", judge: fromJournal(judgeOutbox) },
  { name: "dropped_answers", judge: fromJournal(judgeDropped) },
  { name: "send_limit", judge: withConfig(judgeLimit) },
];

function judgeInbox({ inbox }: Census, { at, bot }: Facts, { limits }: Config): Verdict {
  const waiting = inbox.new + inbox.ready;
  if (waiting === 0) return ok("No event waits for its turn.");
  const found = `${several(waiting, "event waits", "events wait")} for their turn (${inbox.new} to be decrypted, ${inbox.ready} for a handler)`;
  if (waiting >= limits.inbox)
    return wrong(
      `${found}: limits.inbox is reached, and the bot asks the homeserver for nothing more.`,
      "See which handlers are slow: the bot's log has the time of each decision.",
    );
  const ageMs = inbox.oldestReceivedAt === null ? 0 : at - inbox.oldestReceivedAt;
  const advice = "See which handlers are slow, and whether the machine keeps up.";
  if (waiting >= limits.inbox * NEARLY_FULL) return warning(`${found}; limits.inbox is ${limits.inbox}.`, advice);
  if (bot.kind === "running" && ageMs > LONG_WAIT_MS)
    return warning(`${found}, the oldest for ${span(ageMs)}.`, advice);
  return ok(`${found}.`);
}

function judgeParked({ parked, givenUp }: Census, at: number): Verdict {
  const parts: string[] = [];
  if (parked.count > 0) {
    const oldest = parked.oldestParkedAt === null ? "" : `, the oldest for ${span(at - parked.oldestParkedAt)}`;
    parts.push(
      `${several(parked.count, "event waits for its key", "events wait for their keys")}${oldest} (${listed(parked.reasons)})`,
    );
  }
  const lost = sum(givenUp);
  if (lost > 0)
    parts.push(`${several(lost, "event was", "events were")} given up since yesterday (${listed(givenUp)})`);
  const before =
    parked.beforeJoin === 0
      ? ""
      : ` ${several(parked.beforeJoin, "event", "events")} from before the bot joined can't be decrypted, as is to be expected.`;
  if (parts.length === 0) return ok(`Every event that was for the bot could be decrypted.${before}`);
  return warning(
    `${parts.join("; ")}.${before}`,
    "See whether the senders' clients give their keys to the bot's device; docs/errors.md explains the reasons.",
  );
}

function judgeGaps(gaps: readonly Counted[]): Verdict {
  const count = sum(gaps);
  if (count === 0) return ok("No part of a timeline is missing.");
  return warning(
    `${several(count, "part of a timeline is", "parts of timelines are")} missing, in ${several(gaps.length, "room")}: the homeserver left them out, and the bot has not seen what is in them.`,
    "Docket does not fill gaps yet. They come from an absence longer than a sync can bridge; let the bot run.",
    { details: gaps.map(({ about, count: missing }) => ({ about, found: `${several(missing, "open gap")}.` })) },
  );
}

function judgeOutbox({ outbox, answers }: Census, { at, bot }: Facts): Verdict {
  const { response, receipt, notice } = outbox;
  const rest = [
    response === 0 ? null : several(response, "answer"),
    receipt === 0 ? null : several(receipt, "receipt"),
    notice === 0 ? null : several(notice, "notice"),
  ].filter((part) => part !== null);
  if (rest.length === 0) return ok("Nothing waits to be sent.");
  const doubtful = answers.doubtful === 0 ? "" : `; ${answers.doubtful} may have arrived already`;
  const found = `Waiting to be sent: ${rest.join(", ")}${doubtful}`;
  const ageMs = answers.oldestQueuedAt === null ? 0 : at - answers.oldestQueuedAt;
  if (bot.kind === "running" && ageMs > LONG_WAIT_MS)
    return warning(`${found}. The oldest answer waits for ${span(ageMs)}.`, "See bot, homeserver and send_limit.");
  return ok(`${found}.`);
}

function judgeDropped({ dropped, droppedDoubtful }: Census): Verdict {
  const count = sum(dropped);
  if (count === 0) return ok("No answer was dropped since yesterday.");
  const doubtful = droppedDoubtful === 0 ? "" : `; ${droppedDoubtful} of them may have arrived all the same`;
  return warning(
    `${several(count, "answer was", "answers were")} dropped since yesterday (${listed(dropped)})${doubtful}.`,
    "docs/errors.md says what to do about each reason; see send_limit and power_levels.",
  );
}

/** What the admin API of Synapse says where a token for it was given; else what the bot has met. */
function judgeLimit({ limit, bot, at }: Facts, config: Config): Verdict {
  if (limit.kind === "known") return limitVerdict(limit.value, config);
  const seen = bot.kind === "running" ? bot.vitals.limited : null;
  const verdict =
    seen !== null && seen.lastAt !== null
      ? warning(
          `The homeserver has refused ${several(seen.count, "message")} of the bot for its rate limit since the start, the last one ${span(at - seen.lastAt)} ago.`,
          ADVICE,
          exemption(config),
        )
      : unknown(
          `Whether the homeserver limits how often the bot may answer is not known${seen === null ? "" : "; it has not met a limit since its start"}.`,
          "Synapse limits every account unless its administrator exempts it, as with this. With DOCKET_ADMIN_TOKEN or --admin-token-file the doctor asks:",
          exemption(config),
        );
  return limit.kind === "failed" ? withFailure(verdict, limit.failure) : verdict;
}

const ADVICE = "Have the homeserver's administrator exempt the bot's account; on Synapse with this:";

export function limitVerdict({ messagesPerSecond }: LimitOverride, config: Config): Verdict {
  if (messagesPerSecond === 0) return ok("The bot is exempt from the homeserver's limit on messages.");
  return warning(
    messagesPerSecond === null
      ? "The bot is not exempt from the homeserver's limit on messages: with Synapse's default it can answer ten times, and then once in five seconds."
      : `The homeserver limits the bot to ${messagesPerSecond} messages a second.`,
    ADVICE,
    exemption(config),
  );
}

/** The administrator's token was refused, or its server does not answer such questions: what was known before still is. */
export function withFailure(verdict: Verdict, failure: Failure): Verdict {
  return { ...verdict, found: `${verdict.found} The administrator's token did not help: ${sentence(failure)}` };
}

function exemption({ homeserver, account }: Config): { readonly command: string } {
  const address = `${homeserver}/_synapse/admin/v1/users/${account.user}/override_ratelimit`;
  const lines = [
    "curl -X POST -H 'Authorization: Bearer ADMIN_TOKEN'",
    `  -d '{"messages_per_second": 0, "burst_count": 0}'`,
    `  '${address}'`,
  ];
  return { command: lines.join(" \\\n") };
}

function sum(counted: readonly Counted[]): number {
  return counted.reduce((total, { count }) => total + count, 0);
}

function listed(counted: readonly Counted[]): string {
  return counted.map(({ about, count }) => `${about} ${count}`).join(", ");
}
