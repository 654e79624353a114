/** Checks of what stands on this machine: configuration, bot, data directory, files, disk. */
import type { Config } from "../../config/config.ts";
import type { ConfigProblem } from "../../errors.ts";
import { foundAndAdvice } from "../../session/copyWords.ts";
import { checkNames as doingNames } from "../healthChecks.ts";
import { asSentence, configFileOf, fromJournal, sentence, several, withConfig, type Check } from "./check.ts";
import type { BotFacts, DirectoryFacts, Facts, FileFact } from "./facts.ts";
import { off, ok, unknown, warning, wrong, type Detail, type Verdict } from "./finding.ts";

/** With less than this much above `limits.free_disk` it is time to look. */
const ROOM_TO_SPARE = 2;
/** Notes that other checks tell, with what to do. */
const TOLD_ELSEWHERE: ReadonlySet<string> = new Set(["receipts", "capabilities", "key_backup", "key store"]);

export const installationChecks: readonly Check[] = [
  { name: "configuration", judge: ({ configuration }) => judgeConfiguration(configuration) },
  { name: "bot", judge: judgeBot },
  { name: "notes", judge: ({ bot }) => judgeNotes(bot) },
  { name: "data_directory", judge: judgeDirectory },
  {
    name: "older_copy",
    judge: fromJournal(({ copySign }) =>
      copySign === null
        ? ok("Nothing says that the data directory is an older copy of itself.")
        : wrong(...foundAndAdvice(copySign)),
    ),
  },
  { name: "files", judge: ({ files }) => judgeFiles(files) },
  { name: "disk", judge: withConfig(judgeDisk) },
];

export function judgeConfiguration(configuration: Facts["configuration"]): Verdict {
  if (configuration.kind === "broken") {
    const { problems } = configuration;
    return wrong(
      `The configuration has ${several(problems.length, "mistake")}.`,
      "Correct what is listed; `docket check` prints the same, with hints.",
      { details: problems.map(asDetail) },
    );
  }
  const { warnings, file } = configuration.config;
  if (warnings.length === 0) return ok(`${file} is well.`);
  return warning(
    `${file} can be used, but ${warnings.length === 1 ? "one thing deserves" : `${warnings.length} things deserve`} a second look.`,
    "`docket check` prints the same, with hints.",
    { details: warnings.map(asDetail) },
  );
}

function asDetail({ file, line, column, path, message }: ConfigProblem): Detail {
  const place = [file, line, column].filter((part) => part !== null).join(":");
  return { about: path === "" ? place : `${place}: ${path}`, found: asSentence(message) };
}

function judgeBot(facts: Facts): Verdict {
  const { bot, directoryPath } = facts;
  const directory = directoryPath ?? "the data directory";
  switch (bot.kind) {
    case "running":
      return judgeHealth(bot);
    case "stopped":
      return warning(`No bot runs on ${directory}.`, "Start it when the rest is well.", start(facts));
    case "hanging":
      return wrong(bot.problem, "What else is said here was looked at without it.");
    case "deaf":
      return warning(
        `Another docket process works on ${directory}, and has no control socket.`,
        "A bot that is starting has one in a moment: ask again. If it stays so, its log says why. What else is said here was looked at without it.",
      );
    case "denied":
      return wrong(bot.problem, "Ask as the user that the bot runs as.");
    case "unknown":
      return unknown("Which bot to ask is not known, because the configuration does not say where its data is.");
  }
}

function start({ configuration }: Facts): { readonly command: string } {
  return { command: `docket start --config ${configFileOf(configuration)}` };
}

function judgeHealth({ health, vitals }: Extract<BotFacts, { kind: "running" }>): Verdict {
  if (health.ready) return ok(`It runs, and is ready since ${new Date(health.since).toISOString()}.`);
  const details = doingNames.flatMap((name): Detail[] => {
    const { problem } = health.checks[name];
    return problem === null ? [] : [{ about: name, found: problem }];
  });
  // What does not work yet, a bot that has just started is not to blame for.
  const isStarting = health.phase === "starting" && vitals.syncTrouble === null && vitals.failure === null;
  const found = `It runs, and is not ready${health.problem === null ? "." : `: ${health.problem}`}`;
  return (isStarting ? warning : wrong)(found, "`docket health` follows this; the bot's log says more.", { details });
}

function judgeNotes(bot: BotFacts): Verdict {
  if (bot.kind !== "running") return off("Only a bot that runs has notes.");
  const details = [...bot.noted].flatMap(([about, found]) =>
    TOLD_ELSEWHERE.has(about) ? [] : [{ about, found: asSentence(found) }],
  );
  if (details.length === 0) return ok("The bot has noted nothing.");
  return warning(`The bot has ${several(details.length, "note")}.`, "Read them.", { details });
}

function judgeDirectory(facts: Facts): Verdict {
  const { directory, directoryPath, configuration, server } = facts;
  const path = directoryPath ?? "The data directory";
  if (directory.kind !== "good") return judgeNoDirectory(directory, path, facts);
  const { owner } = directory;
  if (owner === null) return warning(`${path} belongs to no device yet.`, "It will at the first start.", start(facts));
  if (owner.role !== null && owner.role !== "bot")
    return wrong(
      `${path} is used by \`docket request\`, and no bot can work with it.`,
      "Give the bot a configuration with an account and a data.directory of its own.",
    );
  if (owner.isSignedOut)
    return wrong(
      `${path} belongs to ${owner.userId}, device ${owner.deviceId}, which was signed out: its keys can't be used again.`,
      "Give the configuration a new, empty data.directory and sign in there; keep this one, it holds the record.",
    );
  const expected = ownerExpected(configuration, server);
  if (expected !== null && expected !== owner.userId && expected !== owner.deviceId)
    return wrong(
      `${path} belongs to ${owner.userId}, device ${owner.deviceId}, and not to ${expected}.`,
      "Use the token of that device, or another data.directory: a device can't work with another one's keys.",
    );
  return ok(`${path} belongs to ${owner.userId}, device ${owner.deviceId}.`);

  function ownerExpected(given: Facts["configuration"], { whoami }: Facts["server"]): string | null {
    if (given.kind === "good" && given.config.account.user !== owner?.userId) return given.config.account.user;
    if (whoami.kind !== "known" || whoami.value.userId !== owner?.userId) return null;
    return whoami.value.deviceId;
  }
}

function judgeNoDirectory(directory: Exclude<DirectoryFacts, { kind: "good" }>, path: string, facts: Facts): Verdict {
  if (facts.bot.kind === "unknown") return unknown("The configuration does not say where it is.");
  switch (directory.kind) {
    case "absent":
      return warning(
        `${path} holds no database yet: this is a new installation.`,
        "The first start makes it. Without account.token, sign in before, with docket login.",
        start(facts),
      );
    case "older":
      return warning(
        `${path} is of an older version of Docket.`,
        "The next start brings it up to date; it keeps a copy.",
      );
    case "denied":
      return wrong(
        `${path} is another user's, who does not let you look into it.`,
        "Ask as the user that the bot runs as, for example with sudo -u.",
      );
    case "failed":
      return wrong(sentence(directory.failure), "Nothing of it can be read until that is mended.");
  }
}

export function judgeFiles(files: readonly FileFact[]): Verdict {
  if (files.length === 0) return unknown("There are no files to look at.");
  const faults = files.flatMap((file) => {
    const fault = faultOf(file);
    return fault === null ? [] : [{ ...fault, about: file.path }];
  });
  if (faults.length === 0) return ok("Nobody but the bot's own user can read or change its files.");
  // Behind a directory that is closed nobody gets at a file, and in one that is open nobody reads what is closed.
  const isOpen = (kind: FileFact["kind"]): boolean => files.some((file) => file.kind === kind && isLoose(file));
  const exposed = isOpen("data directory") && isOpen("data");
  const verdict = exposed || faults.some(({ grave }) => grave) ? wrong : warning;
  return verdict(
    `${several(faults.length, "file is", "files are")} not as safe as they should be.`,
    "Let only the bot's user have them: chmod 700 for the data directory, chmod 600 for what is in it, and chown where they are another user's.",
    { details: faults.map(({ about, found }) => ({ about, found })) },
  );
}

function isLoose({ mode }: FileFact): boolean {
  return (mode & 0o077) !== 0;
}

function faultOf(file: FileFact): { readonly found: string; readonly grave: boolean } | null {
  const { kind, mode, sameOwner } = file;
  const octal = `mode ${mode.toString(8).padStart(4, "0")}`;
  if (kind === "configuration") {
    const found = `${octal}: others can change what the bot does; expected 0644 or less.`;
    return (mode & 0o022) === 0 ? null : { found, grave: true };
  }
  if (!sameOwner)
    return { found: "It belongs to another user than the data directory: can the bot use it?", grave: true };
  if (!isLoose(file)) return null;
  return { found: `${octal}, expected ${kind === "data directory" ? "0700" : "0600"}.`, grave: false };
}

function judgeDisk({ freeDiskBytes, directoryPath }: Facts, { limits }: Config): Verdict {
  if (freeDiskBytes === null) return unknown("How much room the disk has is not known yet.");
  const free = mebibytes(freeDiskBytes);
  const limit = mebibytes(limits.freeDiskBytes);
  if (limits.freeDiskBytes === 0) return off(`${free} MiB are free; limits.free_disk is 0, so nobody watches that.`);
  const where = `on the disk of ${directoryPath ?? "the data directory"}`;
  if (freeDiskBytes < limits.freeDiskBytes)
    return wrong(
      `Only ${free} MiB are free ${where}, and limits.free_disk is ${limit} MiB: the bot does not run with less.`,
      "Make room.",
    );
  if (freeDiskBytes < limits.freeDiskBytes * ROOM_TO_SPARE)
    return warning(`${free} MiB are free ${where}; with less than ${limit} MiB the bot stops.`, "Make room soon.");
  return ok(`${free} MiB are free ${where}; with less than ${limit} MiB the bot stops.`);
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2);
}
