/**
 * The demo's independent sender, a process of its own: holds the conversation that the demo wants, and reports it to the demo line by
 * line (see wire.ts). If the demo dies without a word, this process ends the others, and leaves accounts that are somebody's as
 * they were found.
 */
import { createInterface } from "node:readline";
import { Conversation, type Job } from "./conversation.ts";
import { leaveAsFound } from "./homeservers/leaveAsFound.ts";
import { useEnvironmentProxy } from "./sender/environmentProxy.ts";
import { Sender } from "./sender/sender.ts";
import type { FromSender, ToSender } from "./wire.ts";

const RELEASE_MS = 120_000;

const say = (message: FromSender): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};

let left = false;
let job: Job | null = null;
let conversation: Conversation | null = null;
let sender: Sender | null = null;

async function obey(message: ToSender): Promise<void> {
  switch (message.kind) {
    case "job": {
      job = message;
      const { baseUrl, account } = message;
      useEnvironmentProxy(baseUrl);
      // An account that is somebody's is left as it is: no identity is made, and the bot sends to unsigned devices too (demoConfig.ts).
      const identity = message.guests.length > 0 ? "none" : "make";
      sender = await Sender.withToken({ baseUrl, ...account }, { ignoredRooms: account.roomsBefore, identity });
      sender.http.onLimited = ({ waitMs }): void => say({ kind: "limited", waitMs });
      await sender.start();
      conversation = new Conversation(message, sender, say);
      return await conversation.hold();
    }
    case "look again":
      return await conversation?.lookAgain();
    case "leave":
      left = true;
      await sender?.stop();
      process.exit(0);
  }
}

async function actForTheDemo(): Promise<void> {
  for (const pid of job?.guardedPids ?? []) {
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // It has ended already.
    }
  }
  if (job !== null && job.guests.length > 0)
    await leaveAsFound(job.baseUrl, job.guests, AbortSignal.timeout(RELEASE_MS));
  process.exit(1);
}

let turn: Promise<void> = Promise.resolve();
createInterface({ input: process.stdin })
  .on("line", (line) => {
    turn = turn
      .then(() => obey(JSON.parse(line) as ToSender))
      .catch((error: unknown) => {
        const cause = error instanceof Error && error.cause !== undefined ? ` (${String(error.cause)})` : "";
        say({ kind: "failed", message: `${error instanceof Error ? error.message : String(error)}${cause}` });
      });
  })
  .on("close", () => {
    if (!left) void actForTheDemo();
  });
