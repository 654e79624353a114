/** What a check is, and how it deals with what is not known. A check is pure: from the facts to a verdict. */
import type { Config } from "../../config/config.ts";
import type { Asked, Facts, Failure } from "./facts.ts";
import { unknown, wrong, type Verdict } from "./finding.ts";

export interface Check {
  /** Stable: for programs. One or more words with `_` between them. */
  readonly name: string;
  readonly judge: (facts: Facts) => Verdict;
}

/** A check that needs the configuration to be good. */
export function withConfig(judge: (facts: Facts, config: Config) => Verdict): Check["judge"] {
  return (facts) =>
    facts.configuration.kind === "good"
      ? judge(facts, facts.configuration.config)
      : unknown("Not looked at, because the configuration has mistakes.");
}

/** @param judge of the answer */
export function ifKnown<T>(facts: Facts, asked: Asked<T>, judge: (value: T) => Verdict): Verdict {
  if (asked.kind === "known") return judge(asked.value);
  return unknown(asked.kind === "not_asked" ? asked.why : whyUnanswered(facts, asked.failure));
}

/** The same sentence for all that has one cause: the finding that names the cause says what to do. */
function whyUnanswered({ server }: Facts, failure: Failure): string {
  if (failure.tokenRefused) return "Not known, because the homeserver does not accept the access token.";
  if (server.greeting.kind === "failed" && failure.code === "SERVER_UNREACHABLE")
    return "Not known, because the homeserver does not answer.";
  return `Not known: ${sentence(failure)}`;
}

/** What went wrong, for people. */
export function sentence({ code, problem }: Failure): string {
  if (code === "CANCELLED") return "there was no answer in the time that the doctor has.";
  return problem === null ? `something failed (${code}); this is a bug, please report it.` : `${asSentence(problem)}`;
}

export function asSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** For what the journal would tell. */
export function fromJournal(judge: (census: JournalAnswer, facts: Facts) => Verdict): Check["judge"] {
  return (facts) => {
    const { journal } = facts;
    if (journal.kind === "failed")
      return wrong(`The database could not be read: ${sentence(journal.failure)}`, "See data_directory.");
    return ifKnown(facts, journal, (census) => judge(census, facts));
  };
}

type JournalAnswer = Extract<Facts["journal"], { kind: "known" }>["value"];

/** The configuration file as it was named to us, for a command line. */
export function configFileOf(configuration: Facts["configuration"]): string {
  const file = configuration.kind === "good" ? configuration.config.file : "CONFIG_FILE";
  return /^[\w./~@%+,:=-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`;
}

/** Such as `3 events`, `1 event`. */
export function several(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A span of time, rounded down: `45 s`, `3 min`, `2 h`, `5 days`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
