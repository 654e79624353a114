/** What only the record can tell: that everything sent is in it, asked or not, answered or not. Read through the command line. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import type { AskedEvent, Row } from "./wire.ts";

const COMMAND_MS = 60_000;

/**
 * @param root the clone
 * @param configFile the bot's configuration
 * @param events what was sent
 */
export async function recordRows(root: string, configFile: string, events: readonly AskedEvent[]): Promise<Row[]> {
  const ordinary = events.find((event) => event.where === "encrypted" && event.asked === "an ordinary message");
  const [list, shown] = await Promise.all([
    docket(root, ["record", "list", "--config", configFile]),
    ordinary && docket(root, ["record", "show", ordinary.eventId, "--config", configFile]),
  ]);
  const missing = events.filter((event) => !list.output.includes(event.eventId));
  const problems = missing.map((event) => `not in the record: ${event.where}, ${event.asked}`);
  if (list.problem !== null) problems.push(list.problem);
  const rows: Row[] = [
    {
      ok: problems.length === 0,
      where: "bot",
      asked: "docket record list: every event sent",
      answer: `${events.length - missing.length} of ${events.length} recorded`,
      expected: "all of them",
      problems,
      tookMs: null,
      receivedBy: [],
      eventId: null,
    },
  ];
  if (ordinary !== undefined && shown !== undefined) {
    const readable = shown.output.includes("Ambulance 3 is on its way");
    const found = readable ? "its text, decrypted" : "not its text";
    rows.push({
      ok: readable && shown.problem === null,
      where: "bot",
      asked: "docket record show: the ordinary message",
      answer: found,
      expected: "its text, decrypted",
      problems: shown.problem === null ? [] : [shown.problem],
      tookMs: null,
      receivedBy: [],
      eventId: ordinary.eventId,
    });
  }
  return rows;
}

function docket(root: string, args: readonly string[]): Promise<{ output: string; problem: string | null }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, "src/main.ts"), ...args],
      { timeout: COMMAND_MS, maxBuffer: 64 * 1024 * 1024 },
      (error, output, errors) => {
        const problem =
          error === null ? null : `docket ${args.slice(0, 2).join(" ")} failed: ${errors.trim() || error.message}`;
        resolve({ output, problem });
      },
    );
  });
}
