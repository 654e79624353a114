/**
 * One run of the demo: a homeserver, the bot and the sender, the sender's rows, and what only the outside
 * can check: that the record has every event, that the bot stops cleanly, and that nothing came after that.
 * However it ends, its processes have ended when `run` resolves, and accounts that are somebody's are as they were.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Child } from "./child.ts";
import { demoConfig } from "./demoConfig.ts";
import { DemoFailure, EXIT, type ExitCode } from "./demoFailure.ts";
import type { DemoOptions } from "./demoOptions.ts";
import { lastLookRow, stopRow } from "./endRows.ts";
import { Accounts } from "./homeservers/accounts.ts";
import { startDevelopment } from "./homeservers/development.ts";
import { type DemoHomeserver, PACES } from "./homeservers/homeserver.ts";
import type { SignedIn } from "./homeservers/signIn.ts";
import { startSynapseHomeserver } from "./homeservers/synapse.ts";
import { addressNotes, failureNote, limitNote } from "./notes.ts";
import { Processes } from "./processes.ts";
import { recordRows } from "./recordCheck.ts";
import type { Table } from "./table.ts";
import type { FromSender, ToSender } from "./wire.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");

type Mail = { [Kind in FromSender["kind"]]?: (message: Extract<FromSender, { kind: Kind }>) => void };

export class DemoRun {
  readonly #options: DemoOptions;
  readonly #table: Table;
  readonly #folder: string;
  readonly #secret: string;
  readonly #processes: Processes;
  readonly #interrupted = Promise.withResolvers<"interrupted">();
  readonly #broken = Promise.withResolvers<never>();
  readonly #mail: Mail = {};
  /** Nothing is begun any more, and no rate limit waited for. */
  readonly #patience = new AbortController();
  /** At the second Ctrl-C: what is left to do afterwards is not done. */
  readonly #giveUp = new AbortController();
  #accounts: Accounts | null = null;
  /** Settles when no account will be signed in any more. */
  #signingIn: Promise<unknown> = Promise.resolve();
  #watchdog: NodeJS.Timeout | undefined;
  #kept = false;

  constructor(options: DemoOptions, table: Table) {
    this.#options = options;
    this.#table = table;
    if (options.folder === null) {
      this.#folder = mkdtempSync(join(tmpdir(), "docket-demo-"));
    } else {
      this.#folder = resolve(options.folder);
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    }
    this.#secret = options.canary ?? randomBytes(9).toString("base64url");
    this.#processes = new Processes(ROOT, this.#folder, (message) => this.#fail(message));
    this.#broken.promise.catch(() => undefined);
  }

  /** Ctrl-C: ends the run; `run` resolves when the children have ended. The second one ends it sooner. */
  interrupt(): void {
    if (this.#patience.signal.aborted) this.#giveUp.abort();
    this.#interrupted.resolve("interrupted");
    this.#patience.abort();
  }

  /** At once, without waiting. */
  killChildren(): void {
    this.#processes.killNow();
  }

  async run(): Promise<ExitCode> {
    let outcome: ExitCode = EXIT.notAsExpected;
    try {
      if (readdirSync(this.#folder).length > 0)
        throw new DemoFailure(EXIT.usage, `the folder ${this.#folder} is not empty.`);
      const work = this.#work();
      work.catch(() => undefined);
      const end = await Promise.race([work, this.#interrupted.promise, this.#broken.promise]);
      if (end !== "interrupted") outcome = end;
      // With --keep, Ctrl-C is the usual end.
      else outcome = this.#kept ? this.#verdict : EXIT.interrupted;
    } catch (error) {
      outcome = this.#explain(error);
    } finally {
      clearTimeout(this.#watchdog);
      this.#patience.abort();
      await this.#signingIn;
      await this.#processes.stopAll((child) => {
        if (child.name === "sender") this.#tell(child, { kind: "leave" });
      });
    }
    const problems = (await this.#accounts?.release(this.#giveUp.signal)) ?? [];
    for (const problem of problems) this.#table.note(false, problem);
    if (problems.length > 0 && outcome === EXIT.asExpected) outcome = EXIT.notAsExpected;
    if (this.#options.folder === null && outcome !== EXIT.notAsExpected)
      rmSync(this.#folder, { recursive: true, force: true });
    return outcome;
  }

  async #work(): Promise<ExitCode> {
    const homeserver = await this.#findHomeserver();
    this.#patience.signal.throwIfAborted();
    const startedAtMs = Date.now();
    this.#watch(homeserver.pace.longestMs);
    const accounts = (this.#accounts = new Accounts(homeserver, this.#note));
    const signingIn = accounts.signIn(this.#patience.signal);
    this.#signingIn = signingIn.catch(() => undefined);
    const { bot, sender: account } = await signingIn;
    this.#patience.signal.throwIfAborted();
    const configFile = this.#configure(homeserver, { bot, sender: account });
    const asked = this.#await("asked");
    const botProcess = this.#processes.start({ name: "bot", args: ["src/main.ts", "start", "--config", configFile] });
    const guardedPids = this.#processes.pids;
    const sender = this.#startSender(bot.userId);
    this.#tell(sender, {
      kind: "job",
      baseUrl: homeserver.baseUrl,
      account,
      botUserId: bot.userId,
      botDevice: bot.deviceId,
      canary: this.#secret,
      lifetimeMs: homeserver.pace.lifetimeMs,
      keysFile: this.#options.folder === null ? null : join(this.#folder, "room-keys.json"),
      guardedPids,
      guests: accounts.guests,
    });
    const { events, rooms } = await asked;
    for (const row of await recordRows(ROOT, configFile, events)) this.#table.row(row);

    if (this.#options.keep) {
      clearTimeout(this.#watchdog);
      this.#table.end(Date.now() - startedAtMs);
      const at = { homeserver, bot, sender: account, rooms, configFile, folder: this.#folder };
      for (const note of addressNotes(at)) this.#note(note);
      this.#kept = true;
      await this.#interrupted.promise;
      return this.#verdict;
    }
    this.#table.row(stopRow(await this.#processes.stop(botProcess)));
    const lastLook = this.#await("last look");
    this.#tell(sender, { kind: "look again" });
    this.#table.row(lastLookRow(await lastLook));
    this.#table.end(Date.now() - startedAtMs);
    if (!this.#table.allOk) this.#table.note(false, failureNote(botProcess));
    return this.#verdict;
  }

  get #verdict(): ExitCode {
    return this.#table.allOk ? EXIT.asExpected : EXIT.notAsExpected;
  }

  readonly #note = (text: string): void => this.#table.note(true, text);

  async #findHomeserver(): Promise<DemoHomeserver> {
    const { homeserver } = this.#options;
    if (homeserver.kind === "development") return await startDevelopment(this.#processes.start, this.#secret);
    if (homeserver.kind === "synapse") return await startSynapseHomeserver(this.#processes, this.#secret, this.#note);
    this.#note(`signing in ${homeserver.bot.user} and ${homeserver.sender.user} on ${homeserver.baseUrl}`);
    if (homeserver.baseUrl.startsWith("http:") && !/^http:\/\/(127\.|localhost\b|\[::1\])/.test(homeserver.baseUrl))
      this.#note("the address begins with http: whoever is on the way can read the passwords");
    return { ...homeserver, foreign: true, pace: PACES.foreign };
  }

  /** @returns the path of the configuration */
  #configure(homeserver: DemoHomeserver, { bot, sender }: Record<"bot" | "sender", SignedIn>): string {
    const tokenFile = join(this.#folder, "token");
    writeFileSync(tokenFile, bot.accessToken, { mode: 0o600 });
    const configFile = join(this.#folder, "config.yaml");
    const serverName = bot.userId.slice(bot.userId.indexOf(":") + 1);
    const settings = {
      homeserver: homeserver.baseUrl,
      botUserId: bot.userId,
      tokenFile,
      dataDirectory: join(this.#folder, "data"),
      // Elsewhere there are others, who might invite it meanwhile.
      foreign: homeserver.foreign,
      inviters: [homeserver.foreign ? sender.userId : `@*:${serverName}`],
      log: this.#options.log,
    };
    writeFileSync(configFile, demoConfig(join(ROOT, "config.sample.yaml"), settings), { mode: 0o600 });
    return configFile;
  }

  #startSender(botUserId: string): Child {
    let limited = false;
    this.#mail.row = ({ row }) => this.#table.row(row);
    this.#mail.failed = ({ message }) => this.#fail(`the sender: ${message}`);
    this.#mail.limited = ({ waitMs }) => {
      if (!limited) this.#note(limitNote(waitMs, botUserId));
      limited = true;
    };
    return this.#processes.start({
      name: "sender",
      args: ["demo/senderProcess.ts"],
      onLine: (line) => {
        const message = JSON.parse(line) as FromSender;
        (this.#mail[message.kind] as ((message: FromSender) => void) | undefined)?.(message);
      },
    });
  }

  #await<Kind extends FromSender["kind"]>(kind: Kind): Promise<Extract<FromSender, { kind: Kind }>> {
    return new Promise((resolve) => {
      (this.#mail as Record<string, unknown>)[kind] = resolve;
    });
  }

  #tell(sender: Child, message: ToSender): void {
    sender.write(JSON.stringify(message));
  }

  #fail(message: string): void {
    this.#broken.reject(new Error(message));
  }

  #watch(longestMs: number): void {
    this.#watchdog = setTimeout(() => this.#fail(`not done after ${longestMs / 1000} s`), longestMs);
  }

  #explain(error: unknown): ExitCode {
    if (error instanceof DemoFailure) {
      this.#table.note(false, error.message);
      return error.exitCode;
    }
    this.#table.note(false, `the demo failed: ${error instanceof Error ? error.message : String(error)}`);
    const bot = this.#processes.find("bot");
    this.#table.note(false, bot === undefined ? `logs: ${this.#folder}` : failureNote(bot));
    return EXIT.notAsExpected;
  }
}
