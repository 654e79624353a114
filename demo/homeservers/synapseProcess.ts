/**
 * The process of `--homeserver synapse`: reads one JSON line from standard input (ToSynapse), gets Synapse's packages where they
 * are missing, starts it with raised rate limits, registers the accounts, and says so in JSON lines (FromSynapse). Synapse and its
 * data go when it is told to stop, when its input ends, and when it dies.
 */
import { createInterface } from "node:readline";
import { startSynapse } from "../../test/synapse/synapse.ts";
import type { DemoAccount } from "./homeserver.ts";

export interface ToSynapse {
  readonly accounts: readonly DemoAccount[];
}
export type FromSynapse =
  | { readonly kind: "progress"; readonly text: string }
  | { readonly kind: "ready"; readonly baseUrl: string; readonly version: string }
  | { readonly kind: "failed"; readonly text: string };

const say = (message: FromSynapse): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};

const stopped = Promise.withResolvers<void>();
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => stopped.resolve());

async function serve({ accounts }: ToSynapse): Promise<void> {
  const starting = startSynapse({ say: (text) => say({ kind: "progress", text }) });
  const server = await Promise.race([starting, stopped.promise.then(() => undefined)]);
  if (server === undefined) endWithChildren();
  try {
    for (const { user, password } of accounts) await server.registerUser(user, password);
    say({ kind: "ready", baseUrl: server.baseUrl, version: server.version });
    await stopped.promise;
  } finally {
    await server.stop();
  }
}

/** Whoever downloads or unpacks ends too: the demo makes this process the first of a group of its own. */
function endWithChildren(): never {
  process.kill(-process.pid, "SIGKILL");
  process.exit(0);
}

const lines = createInterface({ input: process.stdin });
lines.once("line", (line) => {
  serve(JSON.parse(line) as ToSynapse)
    .catch((error: unknown) => {
      say({ kind: "failed", text: error instanceof Error ? error.message : String(error) });
      process.exitCode = 1;
    })
    .finally(() => process.stdin.destroy());
});
lines.once("close", () => stopped.resolve());
