/** A real Synapse, started for this run in a process of its own (synapseProcess.ts). */
import { DemoFailure, EXIT } from "../demoFailure.ts";
import type { Processes } from "../processes.ts";
import { type DemoHomeserver, PACES } from "./homeserver.ts";
import type { FromSynapse, ToSynapse } from "./synapseProcess.ts";

/**
 * @param secret stands in the passwords
 * @param note told what takes long, and which version it is
 * @throws DemoFailure its packages can't be had, or it does not start
 */
export async function startSynapseHomeserver(
  processes: Processes,
  secret: string,
  note: (text: string) => void,
): Promise<DemoHomeserver> {
  const bot = { user: "docket", password: `bot-${secret}` };
  const sender = { user: "sender", password: `sender-${secret}` };
  note("starting a Synapse; the first time some 70 MB of Debian's packages are downloaded");
  const ready = Promise.withResolvers<Extract<FromSynapse, { kind: "ready" }>>();
  const child = processes.start({
    name: "homeserver",
    args: ["demo/homeservers/synapseProcess.ts"],
    onLine: (line) => {
      const message = JSON.parse(line) as FromSynapse;
      switch (message.kind) {
        case "progress":
          note(`Synapse: ${message.text}`);
          break;
        case "ready":
          ready.resolve(message);
          break;
        case "failed":
          processes.mayEnd(child);
          ready.reject(
            new DemoFailure(
              EXIT.unavailable,
              `there is no Synapse here: ${message.text}\nIts packages come from Debian's suite sid, through apt as this machine is configured; without it, npm run demo shows the same on the development homeserver.`,
            ),
          );
      }
    },
  });
  // Passwords are on no command line.
  child.write(JSON.stringify({ accounts: [bot, sender] } satisfies ToSynapse));
  const { baseUrl, version } = await ready.promise;
  note(`Synapse ${version}, started for this run`);
  return { baseUrl, bot, sender, foreign: false, pace: PACES.synapse };
}
