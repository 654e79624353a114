/**
 * One run of the demo: three processes (development homeserver, bot, sender), the sender's rows, and what only the outside
 * can check: that the record has every event, that the bot stops cleanly, and that nothing came after that.
 * However it ends, its children have ended when `run` resolves.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Child, type ChildEnd } from "./child.ts";
import { demoConfig } from "./demoConfig.ts";
import type { DemoOptions } from "./demoOptions.ts";
import { describeEnd, lastLookRow, stopRow } from "./endRows.ts";
import { recordRows } from "./recordCheck.ts";
import type { Table } from "./table.ts";
import type { FromSender, ToSender } from "./wire.ts";

export type Outcome = "as expected" | "not as expected" | "interrupted";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const LONGEST_MS = 90_000;
const LOG_LINES = 15;

interface SignedIn {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}
interface Passwords {
  readonly bot: string;
  readonly sender: string;
}
type Mail = { [Kind in FromSender["kind"]]?: (message: Extract<FromSender, { kind: Kind }>) => void };

export class DemoRun {
  readonly #options: DemoOptions;
  readonly #table: Table;
  readonly #folder: string;
  readonly #secret: string;
  readonly #children: Child[] = [];
  readonly #interrupted = Promise.withResolvers<"interrupted">();
  readonly #broken = Promise.withResolvers<never>();
  readonly #mail: Mail = {};
  /** Children whose end is no failure. */
  readonly #mayEnd = new Set<Child>();

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
    this.#broken.promise.catch(() => undefined);
  }

  /** Ctrl-C: ends the run; `run` resolves when the children have ended. */
  interrupt(): void {
    this.#interrupted.resolve("interrupted");
  }

  /** At once, without waiting. */
  killChildren(): void {
    for (const child of this.#children) child.killNow();
  }

  async run(): Promise<Outcome> {
    const startedAtMs = Date.now();
    const watchdog = setTimeout(() => this.#fail(`not done after ${LONGEST_MS / 1000} s`), LONGEST_MS);
    let outcome: Outcome = "not as expected";
    try {
      if (readdirSync(this.#folder).length > 0) throw new Error(`the folder ${this.#folder} is not empty`);
      const work = this.#work(startedAtMs, () => clearTimeout(watchdog));
      work.catch(() => undefined);
      outcome = await Promise.race([work, this.#interrupted.promise, this.#broken.promise]);
    } catch (error) {
      this.#table.note(false, `the demo failed: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      clearTimeout(watchdog);
      await this.#stopChildren();
    }
    // With --keep, Ctrl-C is the usual end.
    if (outcome === "interrupted" && this.#kept) outcome = this.#table.allOk ? "as expected" : "not as expected";
    if (outcome === "not as expected") this.#explain();
    else if (this.#options.folder === null) rmSync(this.#folder, { recursive: true, force: true });
    return outcome;
  }

  async #work(startedAtMs: number, done: () => void): Promise<Outcome> {
    const passwords = { bot: `bot-${this.#secret}`, sender: `sender-${this.#secret}` };
    const { baseUrl, bot } = await this.#startHomeserver(passwords);
    const tokenFile = join(this.#folder, "token");
    writeFileSync(tokenFile, bot.accessToken, { mode: 0o600 });
    const configFile = join(this.#folder, "config.yaml");
    const settings = {
      homeserver: baseUrl,
      botUserId: bot.userId,
      tokenFile,
      dataDirectory: join(this.#folder, "data"),
      inviters: [`@*:${bot.userId.slice(bot.userId.indexOf(":") + 1)}`],
      log: this.#options.log,
    };
    writeFileSync(configFile, demoConfig(join(ROOT, "config.sample.yaml"), settings), { mode: 0o600 });
    const asked = this.#await("asked");
    const botProcess = this.#start("bot", ["src/main.ts", "start", "--config", configFile]);
    const sender = this.#startSender();
    this.#tell(sender, {
      kind: "job",
      baseUrl,
      user: "sender",
      password: passwords.sender,
      botUserId: bot.userId,
      botDevice: bot.deviceId,
      canary: this.#secret,
      keysFile: this.#options.folder === null ? null : join(this.#folder, "room-keys.json"),
      guardedPids: this.#children.flatMap((child) => (child === sender ? [] : (child.pid ?? []))),
    });
    const { events, rooms } = await asked;
    for (const row of await recordRows(ROOT, configFile, events)) this.#table.row(row);

    if (this.#options.keep) {
      done();
      this.#table.end(Date.now() - startedAtMs);
      this.#printAddresses({ baseUrl, passwords, rooms, configFile, botUserId: bot.userId });
      this.#kept = true;
      return await this.#interrupted.promise;
    }
    this.#table.row(stopRow(await this.#stop(botProcess)));
    const lastLook = this.#await("last look");
    this.#tell(sender, { kind: "look again" });
    this.#table.row(lastLookRow(await lastLook));
    this.#table.end(Date.now() - startedAtMs);
    return this.#table.allOk ? "as expected" : "not as expected";
  }

  /** One process with the two accounts, which it signs in. */
  async #startHomeserver(passwords: Passwords): Promise<{ baseUrl: string; bot: SignedIn }> {
    const ready = Promise.withResolvers<string>();
    const accounts = [`docket:${passwords.bot}:docketdemo`, `sender:${passwords.sender}:senderdemo`];
    this.#start(
      "homeserver",
      ["devserver/main.ts", "--stop-with-parent", ...accounts.flatMap((account) => ["--account", account])],
      (line) => ready.resolve(line),
    );
    const { url, accounts: signedIn } = JSON.parse(await ready.promise) as { url: string; accounts: SignedIn[] };
    const [bot] = signedIn;
    if (bot === undefined) throw new Error("the development homeserver made no accounts");
    return { baseUrl: url, bot };
  }

  #startSender(): Child {
    return this.#start("sender", ["demo/senderProcess.ts"], (line) => {
      const message = JSON.parse(line) as FromSender;
      if (message.kind === "row") this.#table.row(message.row);
      else if (message.kind === "failed") this.#fail(message.message);
      else (this.#mail[message.kind] as ((message: FromSender) => void) | undefined)?.(message);
    });
  }

  #start(name: string, args: readonly string[], onLine?: (line: string) => void): Child {
    const [script = "", ...rest] = args;
    const child = Child.start({
      name,
      args: [join(ROOT, script), ...rest],
      logFile: join(this.#folder, `${name}.log`),
      ...(onLine === undefined ? {} : { onLine }),
    });
    this.#children.push(child);
    const pids = Object.fromEntries(this.#children.map(({ name: key, pid }) => [key, pid]));
    writeFileSync(join(this.#folder, "pids.json"), JSON.stringify(pids));
    void child.ended.then((end) => {
      if (!this.#mayEnd.has(child)) this.#fail(`the ${end.name} ended by itself, with ${describeEnd(end)}`);
    });
    return child;
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

  async #stop(child: Child): Promise<ChildEnd> {
    this.#mayEnd.add(child);
    return await child.stop();
  }

  /** In the reverse order of their starts, except that nobody waits for the sender: it listens to its input only. */
  async #stopChildren(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.name === "sender") {
        this.#mayEnd.add(child);
        this.#tell(child, { kind: "leave" });
      }
      await this.#stop(child);
    }
  }

  #explain(): void {
    const bot = this.#children.find((child) => child.name === "bot");
    if (bot === undefined) {
      this.#table.note(false, `logs: ${this.#folder}`);
      return;
    }
    this.#table.note(false, `the bot's log: ${bot.logFile}; its last lines:\n${bot.lastLines(LOG_LINES)}`);
  }

  #printAddresses(at: {
    baseUrl: string;
    passwords: Passwords;
    rooms: Readonly<Record<string, string>>;
    configFile: string;
    botUserId: string;
  }): void {
    const notes = [
      `homeserver      ${at.baseUrl}`,
      `bot             ${at.botUserId}, password ${at.passwords.bot}`,
      `sender          sender, password ${at.passwords.sender}`,
      ...Object.entries(at.rooms).map(([kind, roomId]) => `${`${kind} room`.padEnd(15)} ${roomId}`),
      `configuration   ${at.configFile}`,
      `the bot's log   ${join(this.#folder, "bot.log")}`,
      `the record      npm run -s docket -- record list --config ${at.configFile}`,
      "Ctrl-C ends it all.",
    ];
    for (const note of notes) this.#table.note(true, note);
  }
}
